# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m puppet_master.training CONFIG`: for `accelerate launch -m` and `torchrun -m`."""

import sys

from .commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
