"""A Ray cluster: connected to within a time limit, silent, and without changes of how this process handles signals."""
import contextlib
import importlib
import os
import re
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lth.errors import ENVIRONMENT_ERROR, LthError, excerpt, quote
from lth.experiments.executors.clusters import node_code
from lth.experiments.executors.clusters.cluster import Lost, WorkerShape
from lth.system import signals, temporary_folders
from lth.system.environment import core_count

# Without these, Ray reports the cluster to its makers, and warns of a default that will change.
_SETTINGS = {'RAY_USAGE_STATS_ENABLED': '0', 'RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO': '1'}
# Sockets of Ray have 64 characters below its folder, and the path of a socket has at most 107.
_MOST_CHARACTERS_OF_FOLDER = 40
_POLL_SECONDS = 0.1
_SECONDS_TO_GIVE_UP = 15.
_SECONDS_BETWEEN_LOOKS = 2.
# How Ray says that a worker ended and its node did not. With its node, it ends by INTENDED_SYSTEM_EXIT.
_EXIT_OF_WORKER = re.compile(
    'worker process has died. Worker exit type: (SYSTEM_ERROR|USER_ERROR|NODE_OUT_OF_MEMORY|INTENDED_USER_EXIT)')
# Calls of one worker that may overlap: for messages, to stop, and to clean.
_CALLS_AT_ONCE = 4


class RayCluster:
    """A Cluster of Ray, to which this process is connected: `ray` is the module."""

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
def connect(address: str | None, *, time_limit: float) -> Iterator[RayCluster]:
    """The Ray cluster at an address, or a new one on this machine, as long as the block runs. LthError if it does not
    answer within so many seconds. A connection that this process has already is used, and stays.
    """

    try:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        with _kept_signal_handlers():
            import ray  # pylint: disable=import-outside-toplevel # an extra, and takes 2 s
    except ImportError:
        raise LthError("--executor ray needs the package ray. Install it with: pip install 'lth[ray]'") from None
    if ray.is_initialized():
        yield RayCluster(ray)
        return
    address = address or os.environ.get('RAY_ADDRESS')
    with temporary_folders.create('lth-ray') as folder:
        start = _Start(ray, address, folder)
        try:
            start.wait(time_limit)
            yield RayCluster(ray)
        finally:
            with _kept_signal_handlers():
                ray.shutdown()
            start.end()


class _Start:
    """The call of ray.init in a thread, as it may take longer than a time limit. The thread lives as long as the
    cluster does: processes of a cluster on this machine end with the thread that has started them.
    """

    def __init__(self, ray: Any, address: str | None, folder: Path) -> None:
        self._ray = ray
        self._address = address
        self._folder = folder
        self._failure: BaseException | None = None
        self._returned, self._end = threading.Event(), threading.Event()

    def wait(self, time_limit: float) -> None:
        """Start, or connect. LthError if that fails or takes longer than so many seconds."""

        if self._address:
            _require_answer(self._address, time_limit)
        end = time.monotonic() + time_limit
        with _kept_signal_handlers():
            threading.Thread(target=self._run, daemon=True).start()
            while not self._returned.wait(_POLL_SECONDS) and time.monotonic() < end:
                signals.check()
            in_time = self._returned.is_set()
            # A process that ends while Ray connects may crash. Ray itself gives up soon.
            self._returned.wait(_SECONDS_TO_GIVE_UP)
        if not in_time:
            raise _no_answer(self._address, f'no answer within {time_limit:g} seconds')
        if self._failure:
            raise _no_answer(self._address, excerpt(self._failure).rstrip('.'))

    def end(self) -> None:
        """Let the thread end."""

        self._end.set()

    def _run(self) -> None:
        arguments: dict[str, Any] = {'address': self._address}
        if self._address in (None, 'local'):
            arguments = {'address': 'local', 'num_cpus': core_count(), 'include_dashboard': False,
                         '_temp_dir': self._temporary_folder()}
        # Ray prints each end of a worker and of a node, with pages of its logs, to stdout.
        setattr(importlib.import_module('ray._private.worker'), '_worker_logs_enabled', False)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # what Ray warns of is in its errors too
                self._ray.init(**arguments, log_to_driver=False, logging_level='ERROR')
        except (ConnectionError, RuntimeError, ValueError, OSError, self._ray.exceptions.RayError) as error:
            self._failure = error
        self._returned.set()
        self._end.wait()

    def _temporary_folder(self) -> str | None:
        """The folder for logs and sockets of a cluster on this machine; None, for Ray's own, if its path is too long.
        """

        path = str(self._folder)
        return path if len(path) <= _MOST_CHARACTERS_OF_FOLDER else None


def _require_answer(address: str, time_limit: float) -> None:
    """LthError unless something listens at an address that has a port."""

    parts = urlsplit(address if '//' in address else f'//{address}')
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if address == 'auto' or not host or not port:
        if address == 'auto' or '://' in address:
            return
        raise LthError(f"--address: {quote(address)} is no address of a Ray cluster. Give 'auto' for the cluster that "
                       "runs on this machine, HOST:PORT, or 'ray://HOST:10001' for a cluster elsewhere.")
    try:
        socket.create_connection((host, port), timeout=time_limit).close()
    except OSError as error:
        raise _no_answer(address, error.strerror or str(error)) from None


def _no_answer(address: str | None, reason: str) -> LthError:
    if address is None:
        return LthError(f'Ray cannot start a cluster on this machine: {reason}.', exit_code=ENVIRONMENT_ERROR)
    token = ' If it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN.' if '://' in address else ''
    return LthError(f'The Ray cluster at {quote(address)} does not answer: {reason}. Check the address and that the '
                    f'cluster runs (`ray status`).{token} Wait longer with --executor-set time_limit=SECONDS, or leave '
                    '--address out to use this machine.', exit_code=ENVIRONMENT_ERROR)


@contextlib.contextmanager
def _explained_connection() -> Iterator[None]:
    """LthError if the connection to the cluster is lost in the block."""

    try:
        yield
    except ConnectionError as error:
        raise LthError(f'The connection to the Ray cluster was lost: {excerpt(error)}. Completed rounds and '
                       'checkpoints are saved. Run the same command again to resume.',
                       exit_code=ENVIRONMENT_ERROR) from None


@contextlib.contextmanager
def _kept_signal_handlers() -> Iterator[None]:
    """Restore the handlers that the block changes; only the main thread can."""

    before = {number: signal.getsignal(number) for number in signals.NUMBERS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                if handler is not None:  # also if Python knows of no change: Ray has handlers that are not of Python
                    signal.signal(number, handler)


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
