# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m puppet_master.data_gen`: the same commands as `puppet-master data`."""

from .cli import app

if __name__ == "__main__":
    app(prog_name="puppet-master data")
