"""An optimizer that updates a flat vector and applies the mask in one kernel, also within a CUDA graph."""
import importlib.util
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lth.recipes.schema import Adam, AdamW, Sgd
from lth.training.engines.backward import Backward
from lth.training.engines.cuda import kernels
from lth.training.engines.cuda.gradient_table import GradientTable
from lth.training.engines.optimizers import state_vectors

# One block fills 4 warps with 4 or 8 weights per thread. Small vectors need many blocks to occupy a GPU.
_SMALL, _SMALL_BLOCK, _BLOCK = 1_000_000, 512, 1024


def can_fuse(device: torch.device) -> bool:
    """Whether FusedOptimizer can train a float32 vector there: on a GPU with Triton installed; with TRITON_INTERPRET=1
    also on a CPU.
    """

    if importlib.util.find_spec('triton') is None:
        return False
    return device.type == 'cuda' or os.environ.get('TRITON_INTERPRET') == '1'


def make_fused_optimizer(
        settings: Adam | AdamW | Sgd, backward: Backward, weights: Tensor, rate: float | Tensor, *, decay: float = 0.,
) -> 'FusedOptimizer':
    """A new optimizer for the parameters of a pass, as `make_optimizer`; it updates the copy that layers read.
    """

    rate = torch.as_tensor(rate, dtype=torch.float32, device=weights.device)
    return FusedOptimizer(settings, backward.parameters, weights, rate, decay=decay, shadow=backward.copied)


class FusedOptimizer:
    """Adam, AdamW or SGD for a vector (R, N). `state` holds vectors (R, N) by the names that torch gives them, and
    `step`, a count for each block of the kernel.

    parameters: views into the vector or the copy, each dense in memory in the vector's order: of one replicate, or
        (R, ...) of all; or the vector itself. The vector's rows may lie at any distance.
    rate: the learning rate, a float32 scalar on the device.
    shadow: a bfloat16 copy (R, H) of the first H weights of each replicate, written in every step. Parameters may be
        views into it.
    """

    def __init__(
            self, settings: Adam | AdamW | Sgd, parameters: Sequence[Tensor], vector: Tensor, rate: Tensor, *,
            decay: float = 0., shadow: Tensor | None = None) -> None:
        self._settings, self._vector, self._rate, self._shadow = settings, vector, rate, shadow
        self._decay = settings.weight_decay + decay
        self._block = _SMALL_BLOCK if vector.numel() < _SMALL else _BLOCK
        self._table = GradientTable(parameters, vector, shadow, self._block)
        self._trainable = _vector_like(vector, torch.bool).fill_(True)
        self.state: dict[str, Tensor] = {name: _vector_like(vector) for name in state_vectors(settings)}
        if not isinstance(settings, Sgd):
            # Each program of the kernel counts for itself.
            self.state['step'] = torch.zeros(len(self._table), device=vector.device)

    def hold(self, trainable: Tensor, *, fixed: bool) -> None:
        """From now on keep the vector's current values outside `trainable` (R, N).

        The kernel reads the mask in every step, so it makes no difference whether a captured step is `fixed`.
        """

        del fixed
        self._trainable.copy_(trainable)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""

        self._rate.fill_(rate)

    def step(self, project: Callable[[Tensor], None] | None = None) -> None:
        """Update the weights inside the mask, the optimizer's state and the bfloat16 copy. Then apply `project` to the
        vector in place, also inside the mask only; there must not be a copy.
        """

        self._update()
        if project:
            assert self._shadow is None, 'what is projected has no bfloat16 copy'
            before = self._vector.clone()
            project(self._vector)
            torch.where(self._trainable, self._vector, before, out=self._vector)

    def after_capture(self) -> None:
        """Write the addresses of the gradients that a capture has allocated. Call it before the graph is replayed."""

        self._table.write_captured()

    def _update(self) -> None:
        gradients = self._table.gradients()
        table = self._table.table(gradients)
        constants: dict[str, Any] = {
            'halves': any(gradient.dtype == torch.bfloat16 for gradient in gradients),
            'has_shadow': self._shadow is not None, 'block': self._block, 'decay': self._decay}
        # Without a copy the kernel never uses its pointer.
        shadow = self._vector if self._shadow is None else self._shadow
        trainable = self._trainable.view(torch.uint8)
        if isinstance(self._settings, Sgd):
            kernels.optimizers.sgd[(len(self._table),)](
                self._vector, self.state.get('momentum_buffer', self._vector), trainable, shadow, table,
                self._rate, momentum=self._settings.momentum, nesterov=self._settings.nesterov, **constants)
        else:
            kernels.optimizers.adam[(len(self._table),)](
                self._vector, self.state['exp_avg'], self.state['exp_avg_sq'], trainable, shadow, table,
                self.state['step'], self._rate, **_adam_constants(self._settings), **constants)


def _adam_constants(settings: Adam | AdamW) -> dict[str, Any]:
    beta_1, beta_2 = settings.betas
    return {
        'beta_1': beta_1, 'beta_2': beta_2, 'log_beta_1': _log(beta_1), 'log_beta_2': _log(beta_2),
        'epsilon': settings.epsilon, 'decoupled': isinstance(settings, AdamW)}


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _vector_like(vector: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Zeros (R, N), whose rows lie at the same distance in memory as the vector's."""

    rows = torch.zeros(len(vector), vector.stride(0), dtype=dtype or vector.dtype, device=vector.device)
    return rows[:, :vector.shape[1]]
