"""numba's cache of machine code, which only saves time: where it is corrupt or cannot be written, kernels are compiled
without it.
"""
import contextlib
import pickle
import struct
import warnings
from collections.abc import Iterator
from typing import Any

from lth.errors import LthWarning, describe, excerpt

# Raised for files that cannot be read or written, and by pickle for files that are empty, truncated or not its own.
_ERRORS = (OSError, EOFError, pickle.PickleError, AttributeError, ImportError, LookupError, ValueError, TypeError,
           MemoryError, OverflowError, RuntimeError, struct.error)
# Folders that were reported.
_reported: set[str] = set()


class TolerantCache:
    """A cache of numba for one function whose errors are notes."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The machine code for a signature; None if there is none, or if it is corrupt."""

        with self._tolerate():
            return self._cache.load_overload(signature, context)
        with self._tolerate():
            self._cache.flush()  # the next call writes the files again
        return None

    def save_overload(self, signature: Any, code: Any) -> None:
        """Save the machine code for a signature, if it can be saved."""

        with self._tolerate():
            self._cache.save_overload(signature, code)

    @contextlib.contextmanager
    def _tolerate(self) -> Iterator[None]:
        try:
            yield
        except _ERRORS as error:
            _warn(str(self._cache.cache_path), excerpt(describe(error)))


def warn_without_folder() -> None:
    """Say that numba has no folder for its cache."""

    _warn('of numba (NUMBA_CACHE_DIR)', 'no folder can be written')


def _warn(folder: str, problem: str) -> None:
    """Warn of the first problem with a folder: each file in it may have another one."""

    if folder in _reported:
        return
    _reported.add(folder)
    warnings.warn(f'the cache {folder} of compiled code cannot be used ({problem}), so the sparse engine is compiled '
                  'again. If this is repeated, free some space, make the folder writable, or delete it', LthWarning,
                  stacklevel=2)
