"""Settings of torch and of the process that code outside of lth may change: they are restored, and reported.

To restore another setting, add it to `_SETTINGS`.
"""
import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lth.errors import LthWarning


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
                note = f'{name} changed {what} from {before[what]} to {after}, which was restored'
                warnings.warn(note, LthWarning, stacklevel=2)


def _current_folder() -> Path | None:
    """The current folder, None if it was deleted."""

    try:
        return Path.cwd()
    except OSError:
        return None
