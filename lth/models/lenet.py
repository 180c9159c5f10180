"""LeNet for small pictures: LeNet-300-100 of LeCun et al. 1998, two hidden dense layers."""
import math
from collections import OrderedDict

from torch import nn

from lth.models.zoo import MODELS, Shape


@MODELS.register('lenet-300-100')
def lenet_300_100(shape: Shape, classes: int) -> nn.Module:
    """Dense 300, 100, classes with ReLU: 266,200 weights on MNIST."""

    return nn.Sequential(OrderedDict(
        flatten=nn.Flatten(),
        dense1=nn.Linear(math.prod(shape), 300), relu1=nn.ReLU(),
        dense2=nn.Linear(300, 100), relu2=nn.ReLU(),
        output=nn.Linear(100, classes)))
