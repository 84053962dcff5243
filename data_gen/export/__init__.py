# SPDX-License-Identifier: GPL-3.0-or-later
"""Datasets in the layouts that other people's loaders read: TAP-Vid, PointOdyssey, CoTracker's Kubric, plain frames."""
