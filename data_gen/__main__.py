# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m puppet_master.data_gen`: the same commands as `puppet-master data`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
