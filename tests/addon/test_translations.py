# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels in other languages: every text of the table is one that the interface shows."""

import re

import bpy
import pytest
from puppet_master.addon import translations


@pytest.fixture
def in_language(scene):
    view = bpy.context.preferences.view
    before = view.language, view.use_translate_interface

    def choose(language):
        if language not in {item.identifier for item in view.bl_rna.properties["language"].enum_items_static}:
            pytest.skip(f"this build of Blender has no {language}")
        view.language = language
        view.use_translate_interface = True

    yield choose
    view.language, view.use_translate_interface = before


@pytest.mark.parametrize(("language", "expected"), [("de_DE", "Griffe setzen"), ("ja_JP", "ハンドルを配置")])
def test_blender_shows_the_labels_in_its_own_language(in_language, language, expected):
    in_language(language)
    assert translations.translated("Place Handles") == expected
    assert bpy.app.translations.pgettext("Place Handles", "Operator") == expected
    assert translations.translated("a text that nobody wrote") == "a text that nobody wrote"


def test_words_that_blender_takes_for_something_else_are_looked_up_as_ours(in_language, scene):
    in_language("de_DE")
    quality = scene.puppet_master_preview.bl_rna.properties["quality"]
    assert bpy.app.translations.pgettext("Normal", quality.translation_context) == "Normal"
    assert bpy.app.translations.pgettext("Custom", quality.translation_context) == "Eigene"
    ease = bpy.types.PropertyGroup.bl_rna_get_subclass_py("PuppetDrag").bl_rna.properties["ease"]
    assert bpy.app.translations.pgettext("Ease", ease.translation_context) == "Übergang"


def test_the_table_holds_no_text_that_the_interface_does_not_show(repository):
    sources = [path.read_text("utf-8") for path in (repository / "addon").glob("*.py") if path.stem != "translations"]
    sources += [path.read_text("utf-8") for path in (repository / "data_gen").rglob("*.py")]
    shown = set(re.findall(r'"([^"\n]+)"', "\n".join(sources))) | {"Backend"}
    assert [text for text in translations._TABLE if text not in shown] == []


def test_each_text_is_given_in_each_language():
    for text, words in translations._TABLE.items():
        assert len(words) == len(translations.LANGUAGES) and all(words), text
