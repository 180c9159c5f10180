"""What an export format is: a function that writes a network as files, which can be loaded and compared with it.

    @EXPORT_FORMATS.register('halves')
    def halves(network):
        \"\"\"All weights as float16.\"\"\"

        state = {name: tensor.half() for name, tensor in network.state_dict().items()}
        return Exported({'model.safetensors': safetensors.torch.save(state)}, partial(load, network), 'How to load it.')
"""
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lth.exports.exported_network import ExportedNetwork
from lth.registry.registry import Registry

# Images (B, C, H, W) -> logits (B, classes), of the same type.
Logits = Callable[[Tensor], Tensor]


class Loaded(NamedTuple):
    """Exported files, loaded again: their logits in float32, and in float64 if they can be computed."""

    single: Logits
    double: Logits | None = None

    @staticmethod
    def of(module: nn.Module) -> 'Loaded':
        """The logits of a module."""

        double: list[nn.Module] = []

        def in_double(images: Tensor) -> Tensor:
            double[:] = double or [copy.deepcopy(module).double()]  # made only if it is needed
            logits: Tensor = double[0](images)
            return logits
        return Loaded(torch.inference_mode()(module.__call__), torch.inference_mode()(in_double))


@dataclass(frozen=True)
class Exported:
    """The files of an export by name, a function that loads them from a folder, and how to do so without lth: `usage`
    is a part of README.txt. `details` are for programs, `notes` for people.
    """

    files: Mapping[str, bytes]
    load: Callable[[Path], Loaded]
    usage: str
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


ExportFormat = Callable[[ExportedNetwork], Exported]
EXPORT_FORMATS: Registry[ExportFormat] = Registry('export format')
