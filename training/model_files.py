# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files of every published model have in common."""

from __future__ import annotations

import json
from pathlib import Path

import torch


def half(part: torch.nn.Module) -> torch.nn.Module:
    """A copy in half precision."""
    if hasattr(part, "from_config"):
        # Where this machine keeps its work is nobody's business.
        config = {name: value for name, value in part.config.items() if name != "_name_or_path"}
        twin = type(part).from_config(config)
    else:
        twin = type(part)(part.config)
    twin.load_state_dict(part.state_dict())
    return twin.half()


def write_json(path: Path, content: dict) -> None:
    """Write JSON for people to read."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
