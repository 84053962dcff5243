# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m puppet_master.backend` is `puppet-master`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
