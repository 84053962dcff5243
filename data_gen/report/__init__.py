# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a dataset: one HTML page with counts, reasons, features, contact sheets, times and failures.

stdlib and numpy only: it runs in Blender's own Python too.
"""

from .page import write_report

__all__ = ["write_report"]
