"""LeNet for small images (LeCun et al. 1998): LeNet-300-100 of dense layers, and LeNet-5 with two convolutions."""
import math
from collections import OrderedDict

from torch import nn

from lth.models.registry import MODELS, Shape


@MODELS.register('lenet-300-100')
def lenet_300_100(shape: Shape, classes: int) -> nn.Module:
    """Dense layers with 300 and 100 units and a classifier: 266,200 weights on MNIST."""

    return nn.Sequential(OrderedDict(
        flatten=nn.Flatten(),
        dense1=nn.Linear(math.prod(shape), 300), relu1=nn.ReLU(),
        dense2=nn.Linear(300, 100), relu2=nn.ReLU(),
        output=nn.Linear(100, classes)))


@MODELS.register('lenet-5')
def lenet_5(shape: Shape, classes: int) -> nn.Module:
    """5×5 convolutions with 6 and 16 channels, pooling, dense layers with 120 and 84 units: 44,190 weights on MNIST."""

    channels, height, width = shape
    features = 16 * (((height - 4) // 2 - 4) // 2) * (((width - 4) // 2 - 4) // 2)
    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(channels, 6, 5), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(6, 16, 5), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        dense1=nn.Linear(features, 120), relu_dense1=nn.ReLU(),
        dense2=nn.Linear(120, 84), relu_dense2=nn.ReLU(),
        output=nn.Linear(84, classes)))
