# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a Python that the backend's packages have builds for."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from .events import Refusal, tell
from .processes import LOG, ask, clean_environment, run

FITTING = ((3, 11), (3, 12))  # Python versions that the locked packages have builds for


def find_python(chosen: str, root: Path) -> str:
    """A Python that the locked packages have builds for and that can make environments.

    Raises:
        Refusal: there is none; names what was looked at.
    """
    seen: list[str] = []
    for candidate in dict.fromkeys([chosen] if chosen else _candidates(root)):
        version = version_of(candidate)
        if version is None:
            continue
        if version[:2] in FITTING and _can_make_environments(candidate):
            return candidate
        lacks = "" if version[:2] not in FITTING else " without its venv module"
        seen.append(f"{candidate} ({version[0]}.{version[1]}{lacks})")
    wanted = " or ".join(f"{major}.{minor}" for major, minor in FITTING)
    if uv := shutil.which("uv"):
        return _uv_python(uv, root)
    found = f"found {', '.join(seen)}" if seen else f"{chosen} does not run" if chosen else "found none at all"
    raise Refusal(
        "requirement",
        f"the backend needs Python {wanted} with its venv module; {found}. Install one from python.org, with "
        "'uv python install 3.11', or 'sudo apt-get install python3.11 python3.11-venv', and try again",
    )


def _candidates(root: Path) -> Iterator[str]:
    """Pythons that may fit, the likeliest first: those that are installed for the user, then Blender's own."""
    exe = "python.exe" if sys.platform == "win32" else "bin/python3"
    for major, minor in FITTING:
        if path := shutil.which(f"python{major}.{minor}"):
            yield path
        yield from map(str, sorted((Path.home() / ".pyenv" / "versions").glob(f"{major}.{minor}*/{exe}"), reverse=True))
        yield from map(str, sorted(root.glob(f"python/*{major}.{minor}*/{exe}"), reverse=True))
        if sys.platform == "win32":
            yield from _windows_launcher(f"{major}.{minor}")
    for name in ("python3", "python"):
        if path := shutil.which(name):
            yield path
    yield sys.executable


def _windows_launcher(version: str) -> Iterator[str]:
    if launcher := shutil.which("py"):
        done = ask([launcher, f"-{version}", "-c", "import sys; print(sys.executable)"])
        if done:
            yield done


def version_of(python: str) -> tuple[int, int] | None:
    """Major and minor version of a Python; None if it does not run."""
    answer = ask([python, "-c", "import sys; print(*sys.version_info[:2])"])
    try:
        major, minor = map(int, answer.split())
    except ValueError:
        return None
    return major, minor


def _can_make_environments(python: str) -> bool:
    return ask([python, "-c", "import ensurepip, venv; print('yes')"]) == "yes"


def _uv_python(uv: str, root: Path) -> str:
    """A Python that uv knows, or fetches into ROOT."""
    environment = {**clean_environment(root), "UV_PYTHON_INSTALL_DIR": str(root / "python")}
    if found := ask([uv, "python", "find", "3.11"], environment):
        return found
    tell("progress", share=0.01, detail="fetching Python 3.11 with uv")
    run([uv, "python", "install", "3.11"], root, environment)
    if found := ask([uv, "python", "find", "3.11"], environment):
        return found
    raise Refusal("requirement", f"uv could not fetch Python 3.11; {root / LOG} says why")
