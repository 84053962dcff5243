# SPDX-License-Identifier: GPL-3.0-or-later
"""The drag-conditioned Stable Video Diffusion UNet (Puppet-Master, arXiv 2408.04631)."""

from .unet import DragSpatioTemporalUNet

__all__ = ["DragSpatioTemporalUNet"]
