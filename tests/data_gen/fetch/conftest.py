# SPDX-License-Identifier: GPL-3.0-or-later
"""What these tests share: the hub on loopback."""

from local_hub import hub, no_proxy

__all__ = ["hub", "no_proxy"]
