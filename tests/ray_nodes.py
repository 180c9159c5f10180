"""A Ray cluster of several nodes on this machine. The head has no cores: each node that trains can be killed."""
import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest


class RayNodes:
    """A running cluster. `address` is what --address takes."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.address = str(cluster.address)
        self.nodes: list[Any] = []

    def add(self, *, cores: int = 1) -> Any:
        """Add a node."""

        self.nodes.append(self._cluster.add_node(num_cpus=cores, object_store_memory=10 ** 8))
        return self.nodes[-1]

    def kill(self, node: Any) -> None:
        """End a node and all that runs there, as if its machine was switched off."""

        self._cluster.remove_node(node, allow_graceful=False)


@contextlib.contextmanager
def ray_nodes(count: int) -> Iterator[RayNodes]:
    """A cluster with so many nodes of one core. Skips the test if Ray is not installed."""

    pytest.importorskip('ray')
    from ray.cluster_utils import Cluster
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 0, 'object_store_memory': 10 ** 8})
    try:
        nodes = RayNodes(cluster)
        for _ in range(count):
            nodes.add()
        yield nodes
    finally:
        cluster.shutdown()
        for number, handler in handlers.items():
            signal.signal(number, handler)
