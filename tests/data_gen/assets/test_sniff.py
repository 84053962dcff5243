# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is judged by its bytes: wherever it is cut off, that is found before Blender opens it."""

from __future__ import annotations

import gzip
import json

import bpy
import pytest
from damaged_files import opening, write_damaged
from glb_files import Glb, box
from puppet_master.data_gen.assets.facts import Reader
from puppet_master.data_gen.assets.sniff import kind_of, sniff
from puppet_master.data_gen.reasons import Damaged

READER = Reader((5, 0), frozenset({"KHR_draco_mesh_compression"}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One whole file of each kind, among damaged ones."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    folder = tmp_path_factory.mktemp("files")
    write_damaged(folder, heavy_cells=10)
    return folder


WHOLE = ["whole.glb", "whole.gltf", "whole.fbx", "whole.usda", "whole.usdc", "whole.abc", "whole.blend",
         "whole_packed.blend", "packed.usdz"]  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_cut_off_anywhere_is_found_to_be(folder, name, tmp_path):
    data = (folder / name).read_bytes()
    path = tmp_path / name
    for number in range(1, 60):
        path.write_bytes(data[: max(1, len(data) * number // 60)])
        with pytest.raises(Damaged) as caught:
            sniff(path, READER)
        assert caught.value.reason == "truncated", f"cut at {number}/60: {caught.value}"
        assert name in caught.value.detail and "\n" not in caught.value.detail


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_passes(folder, name):
    assert sniff(folder / name, READER).format in ("glTF", "FBX", "USD", "Alembic", "Blender")


@pytest.mark.parametrize(
    "head, kind",
    [
        (b"glTF\x02\0\0\0", "glTF"), (b'\xef\xbb\xbf \n{"asset"', "glTF"), (b"Kaydara FBX Binary  \x00\x1a\x00", "FBX"),
        (b"; FBX 7.3.0 project file\n", "FBX"), (b"FBXHeaderExtension:  {", "FBX"), (b"#usda 1.0\n", "USD"),
        (b"PXR-USDC\0\x08", "USD"), (b"Ogawa\xff\0\x01", "Alembic"), (b"\x89HDF\r\n\x1a\n", "Alembic"),
        (b"BLENDER-v402", "Blender"), (b"BLENDER17-01v0500", "Blender"), (b"\x1f\x8b\x08", "Blender"),
        (b"\x28\xb5\x2f\xfd", "Blender"), (b"PK\x03\x04", "packed USD"), (b"hello", None), (b"[1]", None),
    ],
)  # fmt: skip
def test_formats_are_known_by_their_first_bytes(head, kind):
    assert kind_of(head) == kind


def test_a_missing_file_a_folder_and_an_unknown_extension_are_named(tmp_path):
    with pytest.raises(Damaged, match=r"missing: .*none\.glb is not there"):
        sniff(tmp_path / "none.glb", READER)
    (tmp_path / "folder.glb").mkdir()
    with pytest.raises(Damaged, match="is a folder"):
        sniff(tmp_path / "folder.glb", READER)
    with pytest.raises(Damaged, match=r"unsupported format: .*\.obj"):
        sniff(tmp_path / "a.obj", READER)


def test_draco_is_refused_only_where_it_cannot_be_decoded(folder):
    assert sniff(folder / "draco.glb", READER).meshes == 2
    with pytest.raises(Damaged, match=r"unsupported compression: .*Draco"):
        sniff(folder / "draco.glb", Reader((5, 0), frozenset()))


def test_a_blend_file_of_the_new_layout_needs_a_blender_that_knows_it(folder):
    with pytest.raises(Damaged, match=r"saved by Blender 5\.0; needs 4\.5 or later"):
        sniff(folder / "whole.blend", Reader((4, 2), frozenset()))


def test_a_gzipped_blend_file_is_unpacked_to_the_end(folder, tmp_path):
    path = tmp_path / "old.blend"
    packed = gzip.compress((folder / "whole.blend").read_bytes())
    path.write_bytes(packed)
    assert sniff(path, READER).variant == "compressed, 5.0"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(Damaged, match="truncated"):
        sniff(path, READER)
    path.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(Damaged, match="wrong extension"):
        sniff(path, READER)


def test_gltf_facts_are_what_the_document_says(tmp_path):
    glb = Glb(generator="by hand", copyright="2020 Ann", extras={"license": "CC0", "title": "Box", "source": "a place"})
    opening(glb, name="öffnen")
    glb.json["nodes"].append({"name": "again", "mesh": 0})
    facts = sniff(glb.write(tmp_path / "a.glb"), READER)
    assert (facts.generator, facts.author, facts.licence) == ("by hand", "2020 Ann", "CC0")
    assert (facts.title, facts.url, facts.animations) == ("Box", "a place", ("öffnen",))
    assert (facts.meshes, facts.triangles, facts.missing_textures) == (2, 36, 0)


def test_images_that_are_not_there_are_counted(tmp_path):
    glb = Glb()
    opening(glb)
    (tmp_path / "a b.png").write_bytes(b"here")
    glb.json["images"] = [{"uri": "a%20b.png"}, {"uri": "nowhere.png"}, {"uri": "data:image/png;base64,AAAA"}]
    assert sniff(glb.write_apart(tmp_path / "a.gltf"), READER).missing_textures == 1


def test_a_document_of_the_wrong_shape_is_unreadable(tmp_path):
    for number, change in enumerate([{"buffers": [3]}, {"extensionsRequired": {}}, {"bufferViews": [{"buffer": 7}]}]):
        path = tmp_path / f"{number}.gltf"
        path.write_text(json.dumps({"asset": {"version": "2.0"}, **change}))
        with pytest.raises(Damaged, match="unreadable"):
            sniff(path, READER)


def test_vertices_without_a_place_are_found(tmp_path):
    glb = Glb()
    points, triangles = box()
    points[2, 1] = float("inf")
    glb.node("a", mesh=glb.mesh(points, triangles))
    with pytest.raises(Damaged, match=r"degenerate geometry: .* 1 vertices of mesh 0"):
        sniff(glb.write(tmp_path / "a.glb"), READER)


def test_text_fbx_tells_its_stacks_and_its_end(tmp_path):
    text = """; FBX 7.3.0 project file
FBXHeaderExtension:  {
    FBXVersion: 7300
    Creator: "a ; program {"
}
Objects:  {
    AnimationStack: 1, "AnimStack::Walk", "" {
    }
    AnimationStack: 2, "AnimStack::Run", "" {
    }
}
"""
    path = tmp_path / "a.fbx"
    path.write_text(text)
    facts = sniff(path, READER)
    assert (facts.variant, facts.animations, facts.generator) == ("text 7.3", ("Walk", "Run"), "a ; program {")
    path.write_text(text[:-3])
    with pytest.raises(Damaged, match="truncated"):
        sniff(path, READER)


def test_buffers_that_are_decoded_from_others_need_the_decoder(tmp_path):
    glb = Glb()
    opening(glb)
    glb.finish()
    glb.json["buffers"].append({"byteLength": 64, "extensions": {"EXT_meshopt_compression": {"fallback": True}}})
    text = json.dumps(glb.json)
    path = tmp_path / "a.gltf"
    (tmp_path / "a.bin").write_bytes(bytes(glb.binary))
    path.write_text(text.replace('"buffers": [{', '"buffers": [{"uri": "a.bin", '))
    with pytest.raises(Damaged, match=r"unsupported compression: .*meshopt"):
        sniff(path, READER)
    decoding = Reader((5, 2), frozenset({"EXT_meshopt_compression", "KHR_meshopt_compression"}))
    assert sniff(path, decoding).meshes == 2
