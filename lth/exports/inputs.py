"""The inputs on which an export is compared with its network: test images of the run's data set, or random ones."""
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from lth import rng
from lth.datasets import Dataset, sampling
from lth.errors import LthError
from lth.experiments import provenance
from lth.exports.exported_network import ExportedNetwork

InputKind = Literal['test images', 'random inputs']


class Inputs(NamedTuple):
    """Inputs of a network (n, C, H, W) float32, and how pixels of 0-255 become inputs. `note` says why they are not
    test images.
    """

    images: Tensor
    kind: InputKind
    normalization: dict[str, Any]
    note: str = ''


def read_inputs(network: ExportedNetwork, datasets: Path, count: int) -> Inputs:
    """The first `count` test images as the network sees them; standard normal numbers if the data set cannot be read.
    LthError if the images are not those of the run.
    """

    try:
        data = network.plan.load(datasets, torch.device('cpu'))
    except LthError as error:
        return _random_inputs(network, count, str(error))
    provenance.refuse_changed_run(network.run, provenance.inputs(network.plan, data))
    images = _first_images(data, count)
    settings = network.plan.recipe.data
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
    cropped = sampling.center_crop(images, network.plan.network.shape[1:])
    normalization = _normalization(network, list(data.mean), list(data.std))
    return Inputs(sampling.normalize(cropped, settings, mean, std), 'test images', normalization)


def _first_images(data: Dataset, count: int) -> Tensor:
    """The first test images: (n, C, H, W) uint8."""

    images, labels = data.test
    if isinstance(images, Tensor):
        return images[:count]
    rows = torch.arange(min(count, len(labels)))
    return torch.cat([batch.clone() for batch in images.batches(rows, 100)])


def _random_inputs(network: ExportedNetwork, count: int, problem: str) -> Inputs:
    generator = rng.generator(0, 'export')
    images = torch.randn(count, *network.plan.network.shape, generator=generator)
    note = f'The export was compared on random inputs, as the data set could not be read: {problem}'
    return Inputs(images, 'random inputs', _normalization(network, None, None), note)


def _normalization(network: ExportedNetwork, mean: list[float] | None, std: list[float] | None) -> dict[str, Any]:
    """How pixels become inputs: divided by `divide_by`, then, if standardized, minus `mean`, divided by `std`."""

    standardized = network.plan.recipe.data.normalization != 'scale'
    return {'divide_by': 255, 'standardized': standardized, 'mean': mean if standardized else None,
            'std': std if standardized else None}
