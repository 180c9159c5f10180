"""What a session needs of a cluster: workers on its nodes, and calls of their methods that return later.

To use another kind of cluster, write a class with these methods, as in ray_cluster.py.
"""
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class WorkerShape(NamedTuple):
    """The cores and GPUs of a node that a worker gets."""

    cores: int
    gpus: int

    def __str__(self) -> str:
        return f'{self.cores} free cores and a GPU' if self.gpus else f'{self.cores} free cores'


class Lost(NamedTuple):
    """The result of a call whose worker has ended: together with its `node`, or alone, for a `reason`."""

    node: bool
    reason: str


class Cluster(Protocol):
    """A cluster to which this process is connected. Workers and calls are objects of the cluster's own types."""

    def capacity(self, shape: WorkerShape) -> int:
        """How many workers of this shape its nodes can have at the same time, if nothing else runs there."""

    def start_worker(self, shape: WorkerShape) -> Any:
        """A new worker, which starts as soon as a node has the cores and GPUs. Its methods are those of NodeCode."""

    def call(self, worker: Any, method: str, *arguments: Any) -> Any:
        """Call a method of a worker. Calls of one worker may overlap."""

    def completed(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        """The calls that have completed, after at most so many seconds."""

    def result(self, call: Any) -> Any:
        """What a completed call returned, or Lost. Raises the LthError that the method raised, and a RuntimeError with
        the traceback for any other exception.
        """

    def kill(self, worker: Any) -> None:
        """End a worker at once."""
