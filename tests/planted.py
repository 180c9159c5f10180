"""Planted tickets: networks and images in which a few known weights suffice for all four classes."""
from pathlib import Path

import torch

from lth.datasets import Dataset, Split
from lth.models.network import Network
from lth.models.registry import settings_class

# flat: weights are set by the initializer. The other two set their own weights.
# against: the weights in SIGNAL are negative, all others positive.
# paths: one strong path for each class, through its own hidden unit, and one strong weight into a hidden unit whose
# outgoing weights are small.
MODELS = '''
import torch
from torch import nn

def flat(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

def against(shape, classes):
    net = flat(shape, classes)
    with torch.no_grad():
        net[1].weight.fill_(0.1)
        net[1].weight[torch.arange(4), torch.arange(4) * 2] = -0.1
    return net

def paths(shape, classes):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16, bias=False), nn.ReLU(), nn.Linear(16, classes, bias=False))
    with torch.no_grad():
        net[1].weight.uniform_(-0.01, 0.01)
        net[3].weight.uniform_(-0.01, 0.01)
        net[1].weight[torch.arange(4), torch.arange(4) * 2] = -0.5
        net[3].weight[torch.arange(4), torch.arange(4)] = 0.5
        net[1].weight[15, 63] = 2.
    return net
'''
SIGNAL = torch.zeros(4, 64, dtype=torch.bool)
SIGNAL[torch.arange(4), torch.arange(4) * 2] = True


def network(folder: Path, function: str, initializer: str) -> Network:
    """One of the networks in MODELS, for 1×8×8 images in 4 classes. `folder` must be the current folder."""

    (folder / 'planted_models.py').write_text(MODELS)
    name = f'planted_models.py:{function}'
    return Network.of(settings_class(name)(name=name, initializer=initializer), (1, 8, 8), 4)


def dataset() -> Dataset:
    """Noise, except for one pixel per class: white in images of that class, black in all others. For a network with one
    dense layer, the weights in SIGNAL are enough to classify every image.
    """

    labels = torch.arange(400) % 4
    images = torch.randint(0, 256, (400, 1, 8, 8), generator=torch.Generator().manual_seed(3))
    for label in range(4):
        images[labels == label, 0, 0, 2 * label] = 255
        images[labels != label, 0, 0, 2 * label] = 0
    split = Split(images.to(torch.uint8), labels)
    return Dataset(split, split, (0.5,), (0.3,))
