# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Ray cluster of three nodes on this machine, for tests that kill one."""

from __future__ import annotations

import os
from typing import Any

import pytest
from puppet_master.backend.errors import RequirementError
from puppet_master.backend.workers.cluster import import_ray

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

# A killed node is noticed within seconds.
WATCHFUL = {
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
    "health_check_initial_delay_ms": 1000,
}
MEMORY = 80_000_000  # bytes of a node's object store; nothing is kept there


def start_cluster() -> Any:
    """A head that does no work and two nodes with one place each, the second (`last`) with a pretended card.

    The test that asks is skipped where Ray cannot be used.
    """
    try:
        import_ray()
    except RequirementError as error:
        pytest.skip(str(error))
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY, "_system_config": WATCHFUL}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(num_cpus=1, object_store_memory=MEMORY)
    made.last = made.add_node(num_cpus=1, num_gpus=1, object_store_memory=MEMORY)
    made.wait_for_nodes()
    return made
