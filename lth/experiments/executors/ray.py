"""The executor `ray`: the nodes of a Ray cluster, which need no file system in common with this machine."""
import contextlib
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from lth.experiments.executors.clusters.ray_connection import connect
from lth.experiments.executors.clusters.session import ClusterSession
from lth.experiments.executors.protocol import Executor, Session
from lth.experiments.executors.registry import EXECUTORS
from lth.experiments.run_target import RunTarget

_Seconds = Annotated[float, Field(gt=0, le=86_400)]


@EXECUTORS.register('ray')
class RayExecutor(Executor):
    """The nodes of a Ray cluster: that at `address`, or without one a cluster of this machine's cores.

    It has to answer within `time_limit` seconds. A task that no node has enough cores or GPUs for waits for `patience`
    seconds until one joins.
    """

    address: Annotated[str, Field(min_length=1)] | None = None
    time_limit: _Seconds = 60.
    patience: _Seconds = 300.

    @contextlib.contextmanager
    def open(self, target: RunTarget) -> Iterator[Session]:
        """See Executor."""

        with connect(self.address, time_limit=self.time_limit) as cluster:
            session = ClusterSession(cluster, target, patience=self.patience)
            try:
                yield session
            finally:
                session.close()
