"""A recipe's precision, while steps or measurements run: fp32, tf32 (NVIDIA's matrix units) or bf16 (autocast)."""
import contextlib
from collections.abc import Iterator

import torch

from lth.training.task import Task


@contextlib.contextmanager
def precision_context(task: Task) -> Iterator[None]:
    """Sets matrix precision and autocast for a block, and puts them back."""

    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    precision = task.training.precision
    torch.set_float32_matmul_precision('high' if precision == 'tf32' else 'highest')
    torch.backends.cudnn.allow_tf32 = precision == 'tf32'
    try:
        # The cache of cast weights would be stale within a captured graph.
        with torch.autocast(task.engine.device.type, torch.bfloat16, enabled=precision == 'bf16', cache_enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
