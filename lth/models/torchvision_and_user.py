"""Models that are not ours: `torchvision:NAME`, or a function (shape, classes, *, options) of the user's own code."""
from collections.abc import Callable
from typing import cast

from torch import nn

from lth.errors import LthError, suggestion
from lth.registry import objects
from lth.registry import user_code as code

_PREFIX = 'torchvision:'
# These two add auxiliary outputs in training, and would draw their weights for minutes.
_AUXILIARY = {'googlenet', 'inception_v3'}


def external_model(name: str) -> Callable[..., nn.Module]:
    """The model of a name with a colon."""

    if objects.is_object(name):
        return cast(Callable[..., nn.Module], objects.find(name))
    return _torchvision(name) if name.startswith(_PREFIX) else code.load(name)


def _torchvision(name: str) -> Callable[..., nn.Module]:
    """A classification network of torchvision.models without trained weights; it takes pictures of 3 channels."""

    # Here, for it takes 2 s that other models do without.
    import torchvision  # pylint: disable=import-outside-toplevel
    known, wanted = torchvision.models.list_models(module=torchvision.models), name.removeprefix(_PREFIX)
    if wanted not in known:
        raise LthError(f'torchvision has no classification model {wanted!r}{suggestion(wanted, known)}')
    options = {'aux_logits': False, 'init_weights': False} if wanted in _AUXILIARY else {}

    def model(_shape: tuple[int, int, int], classes: int) -> nn.Module:
        built: nn.Module = torchvision.models.get_model(wanted, weights=None, num_classes=classes, **options)
        return built
    return model
