"""Settings of torch and of the process that code outside of lth may change: they are restored, and reported.

To restore another setting, add it to `_SETTINGS`.
"""
import contextlib
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from lth.errors import LthWarning

# Those that end a command, which saves a checkpoint before.
_SIGNALS = ('SIGINT', 'SIGTERM', 'SIGHUP')


class _Setting(NamedTuple):
    """How a setting is read and set; the argument is torch."""

    get: Callable[[Any], Any]
    set: Callable[[Any, Any], Any]


def _set_attribute(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


_SETTINGS = {
    'the default dtype': _Setting(
        lambda torch: torch.get_default_dtype(), lambda torch, value: torch.set_default_dtype(value)),
    'the default device': _Setting(
        lambda torch: torch.get_default_device(),
        lambda torch, value: torch.set_default_device(None if value.type == 'cpu' else value)),
    'the number of threads': _Setting(
        lambda torch: torch.get_num_threads(), lambda torch, value: torch.set_num_threads(value)),
    'whether gradients are computed': _Setting(
        lambda torch: torch.is_grad_enabled(), lambda torch, value: torch.set_grad_enabled(value)),
    'whether algorithms are deterministic': _Setting(
        lambda torch: torch.are_deterministic_algorithms_enabled(),
        lambda torch, value: torch.use_deterministic_algorithms(value)),
    'the precision of float32 products': _Setting(
        lambda torch: torch.get_float32_matmul_precision(),
        lambda torch, value: torch.set_float32_matmul_precision(value)),
    'torch.backends.cudnn.benchmark': _Setting(
        lambda torch: torch.backends.cudnn.benchmark,
        lambda torch, value: _set_attribute(torch.backends.cudnn, 'benchmark', value)),
    'torch.backends.cudnn.deterministic': _Setting(
        lambda torch: torch.backends.cudnn.deterministic,
        lambda torch, value: _set_attribute(torch.backends.cudnn, 'deterministic', value)),
    'whether denormal numbers are 0': _Setting(
        lambda torch: float(torch.tensor(1e-39, dtype=torch.float32, device='cpu') * 1) == 0,
        lambda torch, value: torch.set_flush_denormal(value)),
    'torch.backends.cudnn.allow_tf32': _Setting(
        lambda torch: torch.backends.cudnn.allow_tf32,
        lambda torch, value: _set_attribute(torch.backends.cudnn, 'allow_tf32', value)),
    'whether anomalies are detected': _Setting(
        lambda torch: torch.is_anomaly_enabled(), lambda torch, value: torch.autograd.set_detect_anomaly(value)),
    "numpy's handling of errors": _Setting(  # torch has imported numpy
        lambda _torch: sys.modules['numpy'].geterr(), lambda _torch, value: sys.modules['numpy'].seterr(**value)),
    'which warnings are errors': _Setting(
        lambda _torch: _error_filters(), lambda _torch, value: _keep_error_filters(value)),
    'whether Pillow reads truncated images': _Setting(
        lambda _torch: getattr(sys.modules.get('PIL.ImageFile'), 'LOAD_TRUNCATED_IMAGES', False),
        lambda _torch, value: _set_attribute(sys.modules['PIL.ImageFile'], 'LOAD_TRUNCATED_IMAGES', value)),
    'sys.argv': _Setting(lambda _torch: list(sys.argv), lambda _torch, value: _set_attribute(sys, 'argv', value)),
    'how signals are handled': _Setting(
        lambda _torch: {name: signal.getsignal(signal.Signals[name]) for name in _SIGNALS},
        lambda _torch, value: _set_handlers(value)),
    'the current folder': _Setting(lambda _torch: _current_folder(), lambda _torch, value: os.chdir(value))}


@contextlib.contextmanager
def restored_settings(name: str) -> Iterator[None]:
    """Restore at the end of the block the settings that `name`, what runs in it, has changed, with a warning."""

    torch = sys.modules.get('torch')
    if torch is None:
        yield  # what calls models and data sets has imported torch
        return
    before = {what: setting.get(torch) for what, setting in _SETTINGS.items()}
    try:
        yield
    finally:
        for what, setting in _SETTINGS.items():
            after = setting.get(torch)
            if after != before[what]:
                setting.set(torch, before[what])
                values = '' if isinstance(after, (dict, list)) else f' from {before[what]} to {after}'
                note = f'{name} changed {what}{values}, which was restored'
                warnings.warn(note, LthWarning, stacklevel=2)


def _error_filters() -> list[Any]:
    return [entry for entry in warnings.filters if entry[0] == 'error']


def _keep_error_filters(kept: list[Any]) -> None:
    """Remove the other filters that turn warnings into errors: the next warning of lth would end the command."""

    for entry in _error_filters():
        if entry not in kept:
            cast(list[Any], warnings.filters).remove(entry)


def _set_handlers(handlers: dict[str, Any]) -> None:
    for name, handler in handlers.items():
        with contextlib.suppress(ValueError, TypeError):  # of other threads than the main one, and of handlers in C
            signal.signal(signal.Signals[name], handler)


def _current_folder() -> Path | None:
    """The current folder, None if it was deleted."""

    try:
        return Path.cwd()
    except OSError:
        return None
