"""The workers and calls of a Ray cluster to which this process is connected."""
import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from lth.errors import ENVIRONMENT_ERROR, LthError, excerpt
from lth.experiments.executors.clusters import node_code
from lth.experiments.executors.clusters.cluster import Lost, WorkerShape

_SECONDS_BETWEEN_LOOKS = 2.
# How Ray says that a worker ended and its node did not. With its node, it ends by INTENDED_SYSTEM_EXIT.
_EXIT_OF_WORKER = re.compile(
    'worker process has died. Worker exit type: (SYSTEM_ERROR|USER_ERROR|NODE_OUT_OF_MEMORY|INTENDED_USER_EXIT)')
# Calls of one worker that may overlap: for messages, to stop, and to clean.
_CALLS_AT_ONCE = 4


class RayCluster:
    """A Cluster of Ray; `ray` is the module, which is connected to it."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        ray.cloudpickle.register_pickle_by_value(node_code)
        self._actor = ray.remote(node_code.NodeCode)
        self._nodes: list[dict[str, Any]] = []
        self._last_look = float('-inf')

    def capacity(self, shape: WorkerShape) -> int:
        """See Cluster."""

        return sum(_capacity(node['Resources'], shape) for node in self._living_nodes())

    def start_worker(self, shape: WorkerShape) -> Any:
        """See Cluster."""

        options = self._actor.options(
            num_cpus=shape.cores, num_gpus=shape.gpus, max_concurrency=_CALLS_AT_ONCE, max_restarts=0)
        return options.remote()

    def call(self, worker: Any, method: str, *arguments: Any) -> Any:
        """See Cluster."""

        return worker.facts.remote() if method == 'facts' else worker.call.remote(method, *arguments)

    def completed(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        """See Cluster."""

        with _explained_connection():
            ready, _ = self._ray.wait(calls, num_returns=1, timeout=seconds)
            if ready:  # all others that have completed too
                ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
            return list(ready)

    def result(self, call: Any) -> Any:
        """See Cluster."""

        exceptions = self._ray.exceptions
        try:
            with _explained_connection():
                return self._ray.get(call)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, LthError):
                raise error.cause from None
            raise RuntimeError(f'a worker of the cluster failed:\n{error}') from None
        except exceptions.RayError as error:
            return _loss(error, out_of_memory=isinstance(error, exceptions.OutOfMemoryError))

    def kill(self, worker: Any) -> None:
        """See Cluster."""

        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(worker)

    def _living_nodes(self) -> list[dict[str, Any]]:
        if time.monotonic() - self._last_look > _SECONDS_BETWEEN_LOOKS:
            with _explained_connection():
                self._nodes, self._last_look = self._ray.nodes(), time.monotonic()
        return [node for node in self._nodes if node['Alive']]


@contextlib.contextmanager
def _explained_connection() -> Iterator[None]:
    """LthError if the connection to the cluster is lost in the block."""

    try:
        yield
    except ConnectionError as error:
        raise LthError(f'The connection to the Ray cluster was lost: {excerpt(error)}. Completed rounds and '
                       'checkpoints are saved. Run the same command again to resume.',
                       exit_code=ENVIRONMENT_ERROR) from None


def _loss(error: Exception, *, out_of_memory: bool) -> Lost:
    """Whether a worker ended alone, as Ray says it, or together with its node, or because that cannot be reached."""

    if out_of_memory:
        return Lost(node=False, reason='Ray ended it as the memory of the node was exhausted')
    match = _EXIT_OF_WORKER.search(str(error))
    return Lost(node=False, reason=f'Ray: {match[1]}') if match else Lost(node=True, reason=excerpt(error))


def _capacity(resources: dict[str, float], shape: WorkerShape) -> int:
    """How many workers of a shape a node with these resources can have."""

    places = int(resources.get('CPU', 0) // shape.cores)
    return min(places, int(resources.get('GPU', 0) // shape.gpus)) if shape.gpus else places
