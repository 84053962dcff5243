# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether text of brackets, strings and comments comes to its end."""

from __future__ import annotations

import re

_OPEN, _CLOSED = b"{[(", b"}])"


def is_balanced(text: bytes, comment: bytes) -> bool:
    """Whether every bracket and every long string is closed.

    Args:
        text: of a .usda or a text .fbx file.
        comment: the character that begins a comment, which ends with its line.
    """
    # Whole strings, comments and asset paths are stepped over; a string begun and not ended matches last.
    words = rb'"""(?:[^\\]|\\.)*?"""|"(?:[^"\\\n]|\\.)*"|@[^@\n]*@|' + comment + rb'[^\n]*|[{}\[\]()]|"""'
    depth = 0
    for match in re.finditer(words, text, re.DOTALL):
        word = match.group()
        if word == b'"""':
            return False
        if len(word) == 1:
            depth += (word in _OPEN) - (word in _CLOSED)
    return depth <= 0
