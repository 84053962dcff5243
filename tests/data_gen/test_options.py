# SPDX-License-Identifier: GPL-3.0-or-later
"""One declaration of each option gives the same order at every door."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import typer
from puppet_master.backend.errors import InputError
from puppet_master.data_gen.options import (
    FilterOrder,
    RenderOrder,
    add_arguments,
    options_of,
    order_of,
    typer_command,
)
from typer.testing import CliRunner


def by_argparse(order, arguments: list[str]):
    parser = argparse.ArgumentParser()
    add_arguments(parser, order)
    return order_of(order, parser.parse_args(arguments))


def by_typer(order, arguments: list[str]):
    given = []
    app = typer.Typer()
    app.command()(typer_command(order, given.append))
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return given[0]


ORDERS = [
    [],
    ["a.glb", "folder", "--out", "x", "--views", "3", "--passes", "depth,flow", "--json", "--time-limit", "2.5"],
    ["--procedural", "all:7", "--preset", "final", "--size", "96", "--licences", "by,by-nc", "--retry-failed"],
]


@pytest.mark.parametrize("arguments", ORDERS, ids=["nothing", "assets", "procedural"])
def test_both_command_lines_give_the_same_order(arguments):
    assert by_argparse(RenderOrder, arguments) == by_typer(RenderOrder, arguments)


def test_an_order_holds_what_was_said_and_defaults_otherwise():
    order = by_typer(RenderOrder, ORDERS[1])
    assert order.assets == (Path("a.glb"), Path("folder")) and order.out == Path("x")
    assert (order.views, order.passes, order.as_json, order.time_limit) == (3, ("depth", "flow"), True, 2.5)
    assert (order.frames, order.seed, order.filter) == (14, 0, "thresholds")


def test_what_the_order_does_not_say_comes_from_the_preset():
    order = RenderOrder(preset="final", size=96).resolved()
    assert (order.size, order.engine, order.samples) == (96, "cycles", 64)
    assert RenderOrder().resolved().size == 128


@pytest.mark.parametrize("order", [FilterOrder, RenderOrder])
def test_orders_cross_process_borders_as_json(order):
    sent = order(assets=(Path("a.glb"),), out=Path("o"), licences=("by",), seed=5)
    assert order.from_json(json.loads(json.dumps(sent.to_json()))) == sent


def test_a_filter_order_has_no_options_of_rendering():
    names = {option.name for option in options_of(FilterOrder)}
    assert {"assets", "filter", "workers"} <= names and not {"views", "size", "engine"} & names


@pytest.mark.parametrize(
    "values, words",
    [
        ({"size": 8}, "--size must be 16 to 4096, not 8"),
        ({"engine": "povray"}, "--engine cannot be 'povray'; there are workbench, cycles, eevee"),
        ({"frames": "many"}, "--frames must be a whole number, not 'many'"),
        ({"passes": "depth,smell"}, "--passes cannot be 'smell'"),
        ({"shard_mb": 0}, "--shard-mb must be at least"),
    ],
)
def test_values_that_are_not_allowed_are_named_with_what_is(values, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        RenderOrder(**values)


def test_settings_hold_what_shapes_the_data_and_nothing_else():
    base = RenderOrder().resolved().settings()
    same = RenderOrder(workers=7, as_json=True, time_limit=5, recycle=2, preset="draft", ray="auto")
    assert same.resolved().settings() == base
    other = RenderOrder(views=2).resolved().settings()
    assert {name for name in base if base[name] != other[name]} == {"views"}


def test_a_forest_is_known_by_its_contents(tmp_path):
    first, copy, other = (tmp_path / name for name in ("a.npz", "b.npz", "c.npz"))
    first.write_bytes(b"trees")
    copy.write_bytes(b"trees")
    other.write_bytes(b"other trees")
    prints = [RenderOrder(filter=str(path)).settings()["filter"] for path in (first, copy, other)]
    assert prints[0] == prints[1] != prints[2]
    with pytest.raises(InputError, match=r"gone\.npz cannot be read"):
        RenderOrder(filter=str(tmp_path / "gone.npz")).settings()


def test_workers_are_told_paths_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = RenderOrder(filter="forest.npz", decisions=Path("ledger.jsonl"), out=Path("o")).for_workers()
    assert told["filter"] == str(tmp_path / "forest.npz") and told["decisions"] == str(tmp_path / "ledger.jsonl")
    assert RenderOrder().for_workers()["filter"] == "thresholds"
