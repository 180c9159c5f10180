"""Tensors that plug-ins return, such as scores: their errors are reported with the plug-in's name, and shape, dtype and
values are checked where they come back, not where they would first do harm.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

from lth.errors import LthError
from lth.registry import user_code

if TYPE_CHECKING:
    import torch
    from torch import Tensor

P = ParamSpec('P')


def guarded(what: str, function: Callable[P, Any], expected: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """The function of a plug-in; `what` it is, for messages, such as 'criterion mine'. It must return a tensor like the
    one that `expected` returns for the same arguments: of its shape, dtype and device, and of finite numbers.
    """

    def call(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        like = expected(*args, **kwargs)
        shape, dtype, device = like.shape, like.dtype, like.device  # it might change what it is given
        with user_code.guard(f'The {what}', function):
            result = function(*args, **kwargs)
        place = user_code.definition_place(function)
        return check_tensor(f'result of the {what}{place}', result, shape, dtype).to(device)
    return call


def check_tensor(what: str, value: Any, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """The value; LthError unless it is a tensor of this shape and dtype with finite numbers."""

    # When results are checked, torch has been imported; lists of names do not wait for it.
    from torch import Tensor  # pylint: disable=import-outside-toplevel
    expected = f'It should be a tensor of {dtype} and shape {tuple(shape)}'
    if not isinstance(value, Tensor):
        raise LthError(f'The {what} is of type {type(value).__name__}. {expected}.')
    if tuple(value.shape) != tuple(shape) or value.dtype != dtype:
        raise LthError(f'The {what} is {value.dtype} of shape {tuple(value.shape)}. {expected}.')
    finite = value.isfinite()
    if not bool(finite.all()):
        count = int((~finite).sum())
        raise LthError(f'Of the {what}, {count} of {value.numel()} values are not finite numbers (NaN or '
                       'infinity). Let it return finite numbers.')
    return value.detach()
