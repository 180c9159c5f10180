"""Compile kernels with numba and cache their machine code on disk, keyed by all source files of this folder.

numba's cache notices a change of the file that defines a function, but not of the files that it imports. So the name
under which a kernel is cached ends with a digest of the folder: a change in any file compiles all kernels again.
"""
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from lth.training.engines.sparse_cpu.kernels.code_cache import TolerantCache, warn_without_folder

F = TypeVar('F', bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function as machine code, which lets other threads run. It is cached if that is possible."""

    if is_disabled():
        return function
    function.__qualname__ = f'{function.__qualname__}_{_DIGEST}'
    # No fast-math: a NaN must stay a NaN.
    try:
        kernel = numba.njit(cache=True, nogil=True, error_model='numpy')(function)
    except RuntimeError:  # numba finds no folder for its cache
        warn_without_folder()
        return cast(F, numba.njit(nogil=True, error_model='numpy')(function))
    # The only place to catch errors of the cache.
    setattr(kernel, '_cache', TolerantCache(getattr(kernel, '_cache')))
    return cast(F, kernel)


def is_disabled() -> bool:
    """Whether the user told numba to compile nothing, by NUMBA_DISABLE_JIT."""

    return bool(getattr(numba.config, 'DISABLE_JIT'))


def _digest(folder: Path) -> str:
    """Digest of the names and the text of all source files in a folder."""

    sources = {path.name: path.read_bytes() for path in folder.glob('*.py')}
    return hashlib.sha256(repr(sorted(sources.items())).encode()).hexdigest()[:16]


_DIGEST = _digest(Path(__file__).parent)
