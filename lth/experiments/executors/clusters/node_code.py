"""What starts on a node of a cluster: it says which version of lth is there, and passes calls on to the worker.

This file is sent to the node as code, not as the name of a module. So a node without lth, or with another version, can
answer too, and lth is imported in the methods only.
"""
import hashlib
import importlib
import importlib.util
import platform
import socket
from pathlib import Path
from typing import Any, NamedTuple


class NodeFacts(NamedTuple):
    """The name of a node, the version of its lth with a digest of all source files, None without lth, and the versions
    of torch and Python.
    """

    host: str
    version: str | None
    sources: str
    torch: str
    python: str


class NodeCode:
    """The methods of a worker that are called from elsewhere."""

    def facts(self) -> tuple[str, str | None, str, str, str]:
        """The fields of NodeFacts."""

        host, python = socket.gethostname(), platform.python_version()
        if importlib.util.find_spec('lth') is None:
            return host, None, '', '', python
        package, torch = importlib.import_module('lth'), importlib.import_module('torch')
        digest, folder = hashlib.sha256(), Path(str(package.__file__)).parent
        for path in sorted(folder.rglob('*.py')):
            digest.update(f'{path.relative_to(folder)}\0'.encode() + path.read_bytes())
        return host, package.__version__, digest.hexdigest()[:12], torch.__version__, python

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the worker of this process."""

        worker = importlib.import_module('lth.experiments.executors.clusters.worker')
        return getattr(worker.current(), method)(*arguments)
