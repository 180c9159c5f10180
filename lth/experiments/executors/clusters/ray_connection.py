"""The connection to a Ray cluster: within a time limit, silent, and without changes of how signals are handled."""
import contextlib
import importlib
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lth.errors import ENVIRONMENT_ERROR, LthError, excerpt, quote
from lth.experiments.executors.clusters.ray_cluster import RayCluster
from lth.system import signals, temporary_folders
from lth.system.environment import core_count

# Without these, Ray reports the cluster to its makers, warns of a default that will change, and prints a line for each
# second in which a cluster does not answer.
_SETTINGS = {'RAY_USAGE_STATS_ENABLED': '0', 'RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO': '1',
             'RAY_BACKEND_LOG_LEVEL': 'error'}
# Sockets of Ray have 64 characters below its folder, and the path of a socket has at most 107.
_MOST_CHARACTERS_OF_FOLDER = 40
_POLL_SECONDS = 0.1
_SECONDS_TO_GIVE_UP = 15.


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
        raise LthError(f"--address: {quote(address)} is not an address of a Ray cluster. Give 'auto' for the cluster "
                       "that runs on this machine, HOST:PORT, or 'ray://HOST:10001' for a cluster elsewhere.")
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
