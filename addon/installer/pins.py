# SPDX-License-Identifier: GPL-3.0-or-later
"""What the backend imports, and the lock that says which versions of that and of all that it needs."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

REQUIREMENTS = (
    "accelerate", "av", "diffusers", "fastapi", "filelock", "huggingface_hub", "numpy", "pillow", "psutil", "pydantic",
    "rich", "safetensors", "torch", "transformers", "typer", "uvicorn",
)  # fmt: skip
IMPORTED = ("torch", "diffusers", "transformers", "av", "PIL", "fastapi", "uvicorn", "psutil", "typer")


def read_lock(lock: Path) -> dict[str, str]:
    """Versions by package name."""
    lines = lock.read_text("utf-8").splitlines()
    return {canonical(name): version for name, _, version in (line.partition("==") for line in lines) if version}


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def fingerprint(lock: Path) -> str:
    """What tells one lock from another."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
