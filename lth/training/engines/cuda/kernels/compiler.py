"""Compile functions for a GPU with Triton."""
from collections.abc import Callable
from typing import Any

import triton


def kernel(function: Callable[..., Any]) -> Any:
    """The function as a kernel, `kernel[grid](...)`, or as a part of other kernels. It is compiled when it is first
    launched, for each combination of argument types and constants; Triton caches the machine code on disk.
    """

    return triton.jit(function)
