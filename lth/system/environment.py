"""Facts about this machine and the installed packages, for the record of a session. Starts no process."""
import ctypes
import functools
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from lth.errors import LthError
from lth.system.memory import total_memory
from lth.system.reading import read_bytes

# Those that take part in a computation or read a file.
_PACKAGES = ('torch', 'torchvision', 'timm', 'numpy', 'numba', 'scipy', 'scikit-learn', 'pydantic', 'pyyaml',
             'safetensors', 'pillow', 'typer', 'rich', 'triton', 'ffcv')
_MOST_BYTES_OF_REFS = 2 ** 24
_CPU_INFO = Path('/proc/cpuinfo')


def environment() -> dict[str, Any]:
    """The operating system, processor, memory and packages, and the git commits of lth and of the current folder, None
    where there is no repository.
    """

    checkout = Path(__file__).parents[2]  # the folder of the package, in a checkout the folder of the repository
    return {'machine': platform.platform(), 'cpu': _cpu_model(), 'cores': core_count(),
            'memory_mib': total_memory() // 2 ** 20, 'packages': _versions(),
            'lth_commit': _commit(checkout), 'directory_commit': git_commit(Path.cwd())}


def core_count() -> int:
    """Number of cores that this process may use."""

    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def git_commit(folder: Path) -> str | None:
    """The commit that is checked out in the git repository around a folder; None if there is no repository, or none
    that can be read.
    """

    for parent in (folder, *folder.parents):
        if (parent / '.git').exists():
            return _commit(parent)
    return None


def _commit(checkout: Path) -> str | None:
    """The commit that HEAD names in a checkout, by the files that git writes."""

    try:
        git = checkout / '.git'
        if git.is_file():  # a further work tree or a submodule
            git = checkout / _text(git).removeprefix('gitdir:').strip()
        head = _text(git / 'HEAD').strip()
        if not head.startswith('ref:'):
            return _valid(head)
        name = head.removeprefix('ref:').strip()
        common = git / _text(git / 'commondir').strip() if (git / 'commondir').is_file() else git
        if (common / name).is_file():
            return _valid(_text(common / name).strip())
        packed = re.search(f'^([0-9a-f]+) {re.escape(name)}$', _text(common / 'packed-refs'), re.MULTILINE)
        return _valid(packed[1]) if packed else None
    except LthError:
        return None


def _text(path: Path) -> str:
    return read_bytes(path, at_most=_MOST_BYTES_OF_REFS).decode('utf-8', errors='replace')


def _valid(commit: str) -> str | None:
    return commit if re.fullmatch('[0-9a-f]{40}|[0-9a-f]{64}', commit) else None


def _cpu_model() -> str:
    """The name of the processor."""

    try:
        lines = _CPU_INFO.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        lines = []
    names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return next(names, _sysctl('machdep.cpu.brand_string') or platform.processor() or platform.machine())


def _sysctl(name: str) -> str:
    """A text that the kernel of macOS knows by this name; '' on other systems."""

    read = getattr(ctypes.CDLL(None), 'sysctlbyname', None)
    text = ctypes.create_string_buffer(256)
    size = ctypes.c_size_t(len(text))
    if read is None or read(name.encode(), text, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return ''
    return text.value.decode(errors='replace')


@functools.cache
def _versions() -> dict[str, str]:
    """The versions of the packages that are installed."""

    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
