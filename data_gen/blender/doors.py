# SPDX-License-Identifier: GPL-3.0-or-later
"""The `data` commands in Blender's own Python, which has no typer: the same words, the same exit codes.

No bpy here: the panel's process and `blender --command` come through this door alike.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ...backend.errors import PuppetMasterError, RequirementError
from .. import command_line

WRONG_USAGE = 2
# Commands that need packages which Blender does not bring.
ELSEWHERE = ("fetch", "train-filter")
NEEDS_MORE = ("--ray", "--judge-url")  # options that do


def main(arguments: Sequence[str], program: str = "data") -> int:
    """Run a `data` command; returns its exit code."""
    name = arguments[0] if arguments else ""
    try:
        if name in COMMANDS:
            return COMMANDS[name](list(arguments), program)
        if name in ELSEWHERE:
            raise elsewhere(arguments)
    except PuppetMasterError as error:
        return command_line.fail(error, "--json" in arguments)
    except SystemExit as end:  # argparse: wrong usage, or --help
        return end.code if isinstance(end.code, int) else WRONG_USAGE
    wanted = name in ("", "-h", "--help")
    print(f"usage: {program} {'|'.join(COMMANDS)} ... (--help tells more)", file=sys.stdout if wanted else sys.stderr)
    return 0 if wanted else WRONG_USAGE


def elsewhere(arguments: Sequence[str]) -> RequirementError:
    """The error that says with which command to do what Blender's own Python cannot."""
    return RequirementError(
        f"data {arguments[0]} {_which(arguments)}needs Python packages that Blender does not bring; "
        f"in an environment with puppet-master installed, run: puppet-master data {' '.join(arguments)}"
    )


def _which(arguments: Sequence[str]) -> str:
    """The option that needs more, where it is not the command itself."""
    found = [word.partition("=")[0] for word in arguments if word.partition("=")[0] in NEEDS_MORE]
    return f"{found[0]} " if found else ""


def _make(arguments: list[str], program: str) -> int:
    if any(word.partition("=")[0] in NEEDS_MORE for word in arguments):
        raise elsewhere(arguments)
    return command_line.main(arguments, program)


def _report(arguments: list[str], program: str) -> int:
    from ..report import write_report

    parser = argparse.ArgumentParser(f"{program} report", description="Write one HTML page about a dataset.")
    parser.add_argument("dataset", type=Path, metavar="DIR", help="dataset that render or filter made")
    parser.add_argument("--out", type=Path, metavar="FILE", help="page to write; DIR/report.html if not given")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments[1:])
    path = write_report(given.dataset, given.out)
    print(json.dumps({"report": str(path), "bytes": path.stat().st_size}) if given.json else path)
    return 0


def _export(arguments: list[str], program: str) -> int:
    try:
        import PIL  # noqa: F401 - what reading pixels back takes; some builds' Python has it
    except ImportError:
        raise elsewhere(arguments) from None
    from ..export.background import Background
    from ..export.formats import Options
    from ..export.run import FORMATS, export_dataset

    parser = argparse.ArgumentParser(f"{program} export", description="Write clips in another dataset's layout.")
    parser.add_argument("dataset", type=Path, metavar="DIR", help="dataset that render made")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR2", help="folder to export into")
    parser.add_argument("--format", required=True, choices=FORMATS, help="whose loaders will read it")
    parser.add_argument("--background", default="white", metavar="white|black|random|transparent|#RRGGBB")
    parser.add_argument("--seed", type=int, default=0, help="decides random backgrounds")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments[1:])
    options = Options(Background(given.background, given.seed))
    summary = export_dataset(given.dataset, given.out, given.format, options)
    print(json.dumps(summary.to_json()) if given.json else f"{given.out}: {summary.written} clip(s) written")
    return 0


COMMANDS: dict[str, Callable[[list[str], str], int]] = {
    "render": _make, "filter": _make, "report": _report, "export": _export,
}  # fmt: skip
