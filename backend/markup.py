# SPDX-License-Identifier: GPL-3.0-or-later
"""HTML and SVG as nested calls; what is not markup already is escaped, so no name can break the page."""

from __future__ import annotations

from html import escape

VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})

Child = "Html | str | int | float | None | list[Child] | tuple[Child, ...]"


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: object) -> Html:
    """One element.

    Args:
        name: of the element.
        children: markup stays, everything else is escaped, None is left out, lists are joined.
        attributes: a trailing underscore is dropped, others become dashes (`class_`, `aria_label`); True gives
            the attribute alone, None and False leave it out.
    """
    shown = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{join(children)}</{name}>")


def join(children: object) -> Html:
    """Children one after another."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, list | tuple):
        return Html("".join(join(child) for child in children))
    return Html(escape(clean(str(children)), quote=False))


def clean(text: str) -> str:
    """Without what no page may hold: control characters and halves of surrogate pairs."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(char if char >= " " or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    key = key.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{escape(clean(str(value)))}"'
