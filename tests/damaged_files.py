# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of damaged and odd asset files, with what should become of each.

As a script: `python tests/damaged_files.py FOLDER` writes them, and what is expected as FOLDER/expected.json.
"""

from __future__ import annotations

import argparse
import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from glb_files import Glb, box, sheet

SECONDS = (0.0, 1.0)
TURN = ((0, 0, 0, 1), (0.5, 0, 0, 0.8660254))  # about x, by a third of a whole turn
_HEAVIEST = 5_000_000


@dataclass(frozen=True)
class Expected:
    """What should become of a file.

    Attributes:
        outcome: of the asset: "damaged", "rejected" or "done".
        reason: of the asset; "" where it is done.
        animations: where it is done: of each animation the reason it is turned away for, "" for none.
    """

    outcome: str
    reason: str = ""
    animations: tuple[str, ...] = ()


def damaged(reason: str) -> Expected:
    """The file is at fault."""
    return Expected("damaged", reason)


def rejected(reason: str) -> Expected:
    """The asset is whole and of no use."""
    return Expected("rejected", reason)


def done(*animations: str) -> Expected:
    """The asset can be opened."""
    return Expected("done", animations=animations or ("",))


def write_damaged(folder: Path, heavy_cells: int = 1600) -> dict[str, Expected]:
    """Write all of them.

    Args:
        folder: made if need be.
        heavy_cells: the heavy mesh has 2 · this² triangles.

    Returns:
        what is expected, by file name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = _write_whole(folder)
    found: dict[str, Expected] = {}
    for write in (_empty, _cut, _mistaken, _packed, _undecodable, _broken_gltf, _other_versions):
        found |= write(folder, whole)
    for name, (make, expected) in _ODD_GLB.items():
        glb = Glb()
        make(glb)
        glb.write(folder / name)
        found[name] = expected
    found |= _apart(folder) | _heavy(folder, heavy_cells) | _odd_blend(folder)
    return found


def lidded(glb: Glb, lid: str = "lid", **root: Any) -> tuple[int, int]:
    """A box and a lid on it, without animation; gives the nodes of the box and of the lid."""
    body = glb.node("body", mesh=glb.mesh(*box()))
    top = glb.node(lid, mesh=glb.mesh(*box((-1, 0, 0), (1, 0.2, 2))), translation=[0, 1, -1])
    glb.node("root", children=[body, top], **root)
    return body, top


def opening(glb: Glb, name: str | None = "open", **root: Any) -> tuple[int, int]:
    """A box whose lid opens within a second."""
    body, lid = lidded(glb, **root)
    glb.animate(name, (lid, "rotation", SECONDS, TURN))
    return body, lid


def _write_whole(folder: Path) -> dict[str, Path]:
    """A whole file of each kind, to damage."""
    glb = Glb()
    opening(glb)
    files = {".glb": glb.write(folder / "whole.glb")}
    glb = Glb()
    opening(glb)
    files[".gltf"] = glb.write_apart(folder / "whole.gltf")
    _new_scene()
    _scene_with_lid()
    ends = {"start": 1, "end": 24}
    for suffix in (".usda", ".usdc"):
        files[suffix] = folder / f"whole{suffix}"
        bpy.ops.wm.usd_export(filepath=str(files[suffix]), export_animation=True)
    files[".abc"] = folder / "whole.abc"
    bpy.ops.wm.alembic_export(filepath=str(files[".abc"]), as_background_job=False, **ends)
    files[".fbx"] = folder / "whole.fbx"
    bpy.ops.export_scene.fbx(filepath=str(files[".fbx"]))
    files[".blend"] = _save(folder / "whole.blend")
    files["packed .blend"] = _save(folder / "whole_packed.blend", compress=True)
    return files


def _new_scene() -> bpy.types.Scene:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True, load_ui=False)
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 1, 24
    return bpy.context.scene


def _save(path: Path, compress: bool = False) -> Path:
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=compress, check_existing=False)
    return path


def add_box(name: str, low: tuple[float, ...] = (-1, -1, -1), high: tuple[float, ...] = (1, 1, 1)) -> bpy.types.Object:
    """A box in the current scene."""
    points, triangles = box(low, high)
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(points.tolist(), [], triangles.tolist())
    item = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(item)
    return item


def turn(item: bpy.types.Object, first: float = 1, last: float = 24, angle: float = 2.0) -> None:
    """Keys that turn an object about x."""
    for frame, value in ((first, 0.0), (last, angle)):
        item.rotation_euler.x = value
        item.keyframe_insert("rotation_euler", frame=frame)


def _swing(item: bpy.types.Object, last: int) -> None:
    """Keys that turn an object to and fro every second."""
    turn(item)
    curve = next(
        curve
        for curve in item.animation_data.action.layers[0].strips[0].channelbags[0].fcurves
        if not curve.array_index
    )
    times = np.arange(1, last + 12, 12, dtype=np.float32).clip(max=last)
    curve.keyframe_points.add(len(times) - len(curve.keyframe_points))
    values = np.arange(len(times), dtype=np.float32) % 2
    curve.keyframe_points.foreach_set("co", np.stack([times, values], 1).ravel())
    curve.update()


def _scene_with_lid() -> tuple[bpy.types.Object, bpy.types.Object]:
    body, lid = add_box("body"), add_box("lid", (-1, 0, 0), (1, 2, 0.2))
    lid.location = (0, -1, 1)
    turn(lid)
    return body, lid


def _empty(folder: Path, whole: dict[str, Path]) -> dict[str, Expected]:
    found = {}
    for suffix in (".glb", ".gltf", ".fbx", ".usd", ".usda", ".usdc", ".usdz", ".abc", ".blend"):
        (folder / f"empty{suffix}").write_bytes(b"")
        found[f"empty{suffix}"] = damaged("empty file")
    return found


def _cut(folder: Path, whole: dict[str, Path]) -> dict[str, Expected]:
    found = {}
    for kind, path in whole.items():
        data = path.read_bytes()
        for share in (0.02, 0.5, 0.98):
            name = f"cut_{share:g}_{path.name}"
            (folder / name).write_bytes(data[: max(4, int(len(data) * share))])
            found[name] = damaged("truncated")
        if kind in (".glb", ".blend", ".abc"):
            (folder / f"cut_3_{path.name}").write_bytes(data[:3])
            found[f"cut_3_{path.name}"] = damaged("truncated")
        found[path.name] = done()
    return found


def _mistaken(folder: Path, whole: dict[str, Path]) -> dict[str, Expected]:
    contents = {
        "text.glb": b"not a model\n", "text.blend": b"no scene\n", "picture.fbx": b"\x89PNG\r\n\x1a\n" + bytes(64),
        "noise.abc": np.random.default_rng(0).bytes(4096), "words.usda": b"usd without its mark\n",
    }  # fmt: skip
    for name, kind in (("glb.fbx", ".glb"), ("fbx.glb", ".fbx"), ("blend.usdc", ".blend"), ("alembic.blend", ".abc")):
        contents[name] = whole[kind].read_bytes() + b"\0"  # not the same contents as of the whole file
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return dict.fromkeys(contents, damaged("wrong extension"))


def _packed(folder: Path, whole: dict[str, Path]) -> dict[str, Expected]:
    """Zip archives, with a password and without, as what they are and as what they are not."""
    for name, content in (("zipped.glb", whole[".glb"]), ("packed.usdz", whole[".usdc"])):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.write(content, content.name)
    for name, source in (("password.glb", "zipped.glb"), ("password.usdz", "packed.usdz")):
        data = bytearray((folder / source).read_bytes())
        data[6] |= 1  # of the file's header
        data[data.rindex(b"PK\x01\x02") + 8] |= 1  # of its entry in the table of contents
        (folder / name).write_bytes(data)
    cut = (folder / "packed.usdz").read_bytes()
    (folder / "cut.usdz").write_bytes(cut[: len(cut) // 2])
    return {
        "zipped.glb": damaged("wrong extension"), "packed.usdz": done(), "cut.usdz": damaged("truncated"),
        "password.glb": damaged("unsupported compression"), "password.usdz": damaged("unsupported compression"),
    }  # fmt: skip


def _undecodable(folder: Path, whole: dict[str, Path]) -> dict[str, Expected]:
    """Files that need decoders; Draco's comes with most builds of Blender."""
    found = {}
    for word, extension, reason in (
        ("meshopt", "EXT_meshopt_compression", "unsupported compression"),
        ("basis", "KHR_texture_basisu", "unsupported compression"),
        ("unknown", "VENDOR_something", "unreadable"),
    ):
        glb = Glb()
        opening(glb)
        glb.json |= {"extensionsUsed": [extension], "extensionsRequired": [extension]}
        glb.write(folder / f"{word}.glb")
        found[f"{word}.glb"] = damaged(reason)
    bpy.ops.wm.open_mainfile(filepath=str(whole[".blend"]), load_ui=False)
    bpy.ops.export_scene.gltf(
        filepath=str(folder / "draco.glb"), export_draco_mesh_compression_enable=True, export_animation_mode="SCENE"
    )
    return found | {"draco.glb": done()}


def _broken_gltf(folder: Path, whole: dict[str, Path]) -> dict[str, Expected]:
    """Files that are whole and make no sense."""
    document = json.loads(whole[".gltf"].read_text("utf-8"))

    def write(name: str, change: Callable[[dict[str, Any]], Any]) -> None:
        copy = json.loads(json.dumps(document))
        change(copy)
        (folder / name).write_text(json.dumps(copy), "utf-8")

    write("no_buffer.gltf", lambda copy: copy["buffers"][0].update(uri="nowhere.bin"))
    (folder / "short.bin").write_bytes((folder / "whole.bin").read_bytes()[:100])
    write("short_buffer.gltf", lambda copy: copy["buffers"][0].update(uri="short.bin"))
    write("embedded_short.gltf", lambda copy: copy["buffers"][0].update(uri="data:;base64,AAAA"))
    write("number_nan.gltf", lambda copy: copy["nodes"][0].update(translation=[float("nan"), 0, 0]))
    write("list.gltf", lambda copy: copy.update(nodes=5))
    write("no_accessor.gltf", lambda copy: copy["meshes"][0]["primitives"][0]["attributes"].update(POSITION=999))
    write("version_1.gltf", lambda copy: copy["asset"].update(version="1.0"))
    (folder / "array.gltf").write_text("[1, 2, 3]")
    return {
        "no_buffer.gltf": damaged("missing"), "short_buffer.gltf": damaged("truncated"),
        "embedded_short.gltf": damaged("truncated"), "number_nan.gltf": damaged("unreadable"),
        "list.gltf": damaged("unreadable"), "no_accessor.gltf": damaged("unreadable"),
        "version_1.gltf": damaged("unsupported format"), "array.gltf": damaged("wrong extension"),
    }  # fmt: skip


def _other_versions(folder: Path, whole: dict[str, Path]) -> dict[str, Expected]:
    """Files of programs that are too old, too new, or were interrupted."""
    data = bytearray(whole[".blend"].read_bytes())
    place = data.index(b"GLOB")
    start = data.index(b" ", place + 16)  # "subvstr": a space and the sub-version
    struct.pack_into("<h", data, start + 6, 9000)  # the least version that can read it
    (folder / "newer.blend").write_bytes(data)
    alembic = bytearray(whole[".abc"].read_bytes())
    alembic[5] = 0
    (folder / "unfinished.abc").write_bytes(alembic)
    (folder / "hdf5.abc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(4096))
    return {
        "newer.blend": damaged("unreadable"), "unfinished.abc": damaged("truncated"),
        "hdf5.abc": damaged("unsupported format"),
    }  # fmt: skip


def _no_mesh(glb: Glb) -> None:
    camera = glb.add("cameras", {"type": "perspective", "perspective": {"yfov": 0.7, "znear": 0.1}})
    eye = glb.node("eye", camera=camera)
    glb.animate("pan", (eye, "rotation", SECONDS, TURN))


def _broken_keys(value: float) -> Callable[[Glb], None]:
    def make(glb: Glb) -> None:
        _, lid = lidded(glb)
        glb.animate("breaks", (lid, "translation", (0, 0.5, 1), [(0, 1, -1), (0, value, -1), (0, 1, -1)]))
        glb.animate("opens", (lid, "rotation", SECONDS, TURN))

    return make


def _nan_vertices(glb: Glb) -> None:
    points, triangles = box()
    points[3] = np.nan
    broken = glb.node("broken", mesh=glb.mesh(points, triangles))
    glb.animate("turn", (broken, "rotation", SECONDS, TURN))
    opening(glb)


def _zero_part(glb: Glb) -> None:
    glb.node("hidden", mesh=glb.mesh(*box()), scale=[0, 0, 0])
    opening(glb)


def _one_frame(glb: Glb) -> None:
    _, lid = lidded(glb)
    glb.animate("pose", (lid, "rotation", (0.0,), TURN[1:]))
    glb.animate("open", (lid, "rotation", SECONDS, TURN))


def _two_meshes_one_rig(glb: Glb) -> None:
    points, triangles = box()
    joints = (points[:, 1] > 0).astype(int)
    tip = glb.node("tip", translation=[0, 0, 0])
    base = glb.node("base", children=[tip])
    skin = glb.add("skins", {"joints": [base, tip], "inverseBindMatrices": glb.accessor([np.eye(4).ravel()] * 2)})
    for shift in (0.0, 3.0):
        glb.node(f"part{shift:g}", mesh=glb.mesh(np.add(points, (shift, 0, 0)), triangles, joints=joints), skin=skin)
    glb.animate("bend", (tip, "rotation", SECONDS, TURN))


def _equal_names(glb: Glb) -> None:
    _, lid = lidded(glb, lid="Dëckel 蓋")
    for name in ("動く", "動く", None, None, "a" * 70, "a" * 70):
        glb.animate(name, (lid, "rotation", SECONDS, TURN))


def _with_camera_and_light(glb: Glb) -> None:
    camera = glb.add("cameras", {"type": "perspective", "perspective": {"yfov": 0.7, "znear": 0.1}})
    eye = glb.node("eye", camera=camera)
    glb.node("lamp", extensions={"KHR_lights_punctual": {"light": 0}})
    glb.json["extensionsUsed"] = ["KHR_lights_punctual"]
    glb.json["extensions"] = {"KHR_lights_punctual": {"lights": [{"type": "point"}]}}
    _, lid = lidded(glb)
    glb.animate("open", (lid, "rotation", SECONDS, TURN), (eye, "translation", SECONDS, [(0, 0, 9), (0, 9, 0)]))


_ODD_GLB: dict[str, tuple[Callable[[Glb], Any], Expected]] = {
    "no_mesh.glb": (_no_mesh, rejected("no mesh")),
    "no_animation.glb": (lidded, rejected("no animation")),
    "nan_keys.glb": (_broken_keys(np.nan), done("degenerate geometry", "")),
    "infinite_keys.glb": (_broken_keys(np.inf), done("degenerate geometry", "")),
    "nan_vertices.glb": (_nan_vertices, damaged("degenerate geometry")),
    "zero_scale.glb": (lambda glb: opening(glb, scale=[0, 0, 0]), done("degenerate geometry")),
    "zero_scale_part.glb": (_zero_part, done()),
    "one_frame.glb": (_one_frame, done("single pose", "")),
    "shared_rig.glb": (_two_meshes_one_rig, done()),
    "ünïcödé 動画.glb": (_equal_names, done(*[""] * 6)),
    "camera_and_light.glb": (_with_camera_and_light, done()),
    "tiny.glb": (lambda glb: opening(glb, scale=[1e-6] * 3), done()),
    "huge.glb": (lambda glb: opening(glb, scale=[1e6] * 3), done()),
    "far.glb": (lambda glb: opening(glb, translation=[1e5, 0, -1e5]), done()),
}


def _apart(folder: Path) -> dict[str, Expected]:
    """A file whose texture is not there."""
    glb = Glb(copyright="2020 Somebody", extras={"license": "CC-BY-4.0", "title": "A box", "author": "Somebody"})
    texture = glb.add("textures", {"source": glb.add("images", {"uri": "nowhere.png"})})
    plain = {"baseColorTexture": {"index": texture}, "baseColorFactor": [1, 0.5, 0, 1]}
    material = glb.add("materials", {"name": "painted", "pbrMetallicRoughness": plain})
    points, triangles = box()
    mesh = glb.mesh(points, triangles, material=material)
    glb.json["meshes"][mesh]["primitives"][0]["attributes"]["TEXCOORD_0"] = _flat_coordinates(glb, len(points))
    painted = glb.node("painted", mesh=mesh, translation=[4, 0, 0])
    glb.animate("turn", (painted, "rotation", SECONDS, TURN))
    lidded(glb)
    glb.write_apart(folder / "no_texture.gltf")
    return {"no_texture.gltf": done()}


def _flat_coordinates(glb: Glb, count: int) -> int:
    index = glb.accessor(np.zeros((count, 4)))
    glb.json["accessors"][index] |= {"type": "VEC2", "count": count, "min": [0, 0], "max": [0, 0]}
    return index


def _heavy(folder: Path, cells: int) -> dict[str, Expected]:
    glb = Glb()
    wave = glb.node("sheet", mesh=glb.mesh(*sheet(cells)))
    glb.animate("turn", (wave, "rotation", SECONDS, TURN))
    opening(glb)
    glb.write(folder / "heavy.glb")
    return {"heavy.glb": rejected("too heavy") if 2 * cells**2 > _HEAVIEST else done("", "")}


def _odd_blend(folder: Path) -> dict[str, Expected]:
    _new_scene()
    _, lid = _scene_with_lid()
    _swing(lid, 100_000)
    bpy.context.scene.frame_end = 100_000
    _save(folder / "long.blend")

    _new_scene()
    body, lid = _scene_with_lid()
    hand = add_box("hand", (2, 0, 0), (3, 1, 1))
    driver = hand.driver_add("location", 2).driver
    driver.type = "SUM"
    target = driver.variables.new().targets[0]
    target.id, target.data_path = lid, "rotation_euler.x"
    _save(folder / "drivers.blend")

    _new_scene()
    _, lid = _scene_with_lid()
    array = lid.modifiers.new("grows", "ARRAY")
    for frame, count in ((1, 1), (24, 6)):
        array.count = count
        array.keyframe_insert("count", frame=frame)
    _save(folder / "topology.blend")

    _new_scene()
    body, lid = _scene_with_lid()
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("eye", bpy.data.cameras.new("eye")))
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "AREA")))
    image = bpy.data.images.new("lost", 4, 4)
    image.source, image.filepath = "FILE", "//lost.png"
    material = bpy.data.materials.new("painted")
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    shader = next(item for item in material.node_tree.nodes if item.type == "BSDF_PRINCIPLED")
    material.node_tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
    body.data.materials.append(material)
    _save(folder / "no_texture.blend")

    _new_scene()
    add_box("body")
    _save(folder / "still.blend")
    return {
        "long.blend": done(), "drivers.blend": done(), "topology.blend": done("topology changes"),
        "no_texture.blend": done(), "still.blend": rejected("no animation"),
    }  # fmt: skip


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--heavy-cells", type=int, default=1600, help="the heavy mesh has 2 times its square triangles")
    options = parser.parse_args()
    found = write_damaged(options.folder, options.heavy_cells)
    text = json.dumps({name: asdict(expected) for name, expected in found.items()}, indent=1, ensure_ascii=False)
    (options.folder / "expected.json").write_text(text, "utf-8")
    print(f"{len(found)} files in {options.folder}")


if __name__ == "__main__":
    main()
