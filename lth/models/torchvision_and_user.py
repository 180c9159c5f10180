"""Models outside of the zoo: `torchvision:NAME`, `timm:NAME`, or a function (shape, classes, *, options) of a user."""
from collections.abc import Callable
from typing import cast

from torch import nn

from lth.errors import LthError, quote, suggestion
from lth.models import timm_networks
from lth.registry import objects, user_code
from lth.system import lazy_import

torchvision = lazy_import.module('torchvision')

_PREFIX = 'torchvision:'
# By default these two have auxiliary outputs in training, and take minutes to initialize their weights.
_AUXILIARY = {'googlenet', 'inception_v3'}


def external_model(name: str) -> Callable[..., nn.Module]:
    """The model for a name with a colon."""

    if objects.is_object(name):
        return cast(Callable[..., nn.Module], objects.find(name))
    if name.startswith(timm_networks.PREFIX):
        return timm_networks.timm_model(name.removeprefix(timm_networks.PREFIX))
    return _torchvision_model(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else user_code.load(name)


def _torchvision_model(name: str) -> Callable[..., nn.Module]:
    """A classification network of torchvision.models, not pretrained, for images of 3 channels."""

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise LthError(f'torchvision has no classification model {quote(name)}{suggestion(name, known)}')
    options = {'aux_logits': False, 'init_weights': False} if name in _AUXILIARY else {}

    def model(_shape: tuple[int, int, int], classes: int) -> nn.Module:
        built: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes, **options)
        return built
    return model
