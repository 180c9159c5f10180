"""Where a module computes in float64, which numpy and some functions of Python return unnoticed."""
import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lth import rng
from lth.errors import LthError
from lth.registry import user_code


def first_double(module: nn.Module, images: Tensor) -> str:
    """The line of the user's file where a forward pass first makes a tensor in float64, as the end of a sentence:
    ` (FILE, line N)`; '' if there is none. The pass may fail.
    """

    mode = _FirstDouble()
    with rng.seeded_globals(0), torch.no_grad(), contextlib.suppress(LthError), user_code.guard('forward'), mode:
        module(images)
    return mode.place or ''


class _FirstDouble(TorchFunctionMode):
    """Remembers where the first tensor in float64 was made."""

    place: str | None = None

    def __torch_function__(
            self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.place is None and isinstance(result, Tensor) and result.dtype == torch.float64:
            self.place = user_code.current_place()
        return result
