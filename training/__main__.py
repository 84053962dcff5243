# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m puppet_master.training`: the training commands, for `torchrun -m`."""

from .commands import train

if __name__ == "__main__":
    train()
