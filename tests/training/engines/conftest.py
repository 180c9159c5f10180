"""Shared by the tests of engines: Triton kernels on the CPU."""
import importlib
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def interpreted_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels run on the CPU, by Triton's interpreter. Skips the test if Triton is not installed."""

    pytest.importorskip('triton')
    from triton import language
    from triton.runtime import interpreter

    from lth.training.engines.cuda.kernels import convolutions, optimizers
    modules, convert = [optimizers, convolutions], interpreter._convert_float

    def convert_and_round(values, source, target, rounding):
        if target != language.bfloat16:
            return convert(values, source, target, rounding)
        return torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()

    with monkeypatch.context() as patch:
        patch.setenv('TRITON_INTERPRET', '1')
        # The compiler rounds to bfloat16, the interpreter truncates.
        patch.setattr(interpreter, '_convert_float', convert_and_round)
        # A call within a kernel would replace all functions of triton.language again: 3 ms.
        patch.setattr(interpreter.InterpretedFunction, '__call__', lambda self, *args: self.rewrite()(*args))
        for module in modules:
            importlib.reload(module)
        yield
    for module in modules:
        importlib.reload(module)
