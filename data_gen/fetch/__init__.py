# SPDX-License-Identifier: GPL-3.0-or-later
"""Animated assets of Objaverse: by list, by id or by metadata; asked for, resumed, verified, and credited."""
