"""The registry of models, the settings that a model's signature declares, and the BatchNorm layer of the zoo."""
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, Field, WithJsonSchema
from torch import nn

from lth.errors import LthError, excerpt
from lth.models.initializers import INITIALIZERS
from lth.models.torchvision_and_user import external_model
from lth.recipes.registered_names import name_schema
from lth.recipes.schema import ModelSettings
from lth.registry.registry import Registry

Shape = tuple[int, int, int]
Norm = Annotated[Literal['affine', 'plain'], Field(
    description='BatchNorm with (`affine`) or without (`plain`) scale and shift.')]
Model = Callable[..., nn.Module]
MODELS: Registry[Model] = Registry('model', external=external_model)
OWN = 'own'


def settings_class(name: str) -> type[ModelSettings]:
    """The class of a model's settings: its name, its initializer and its keyword-only arguments, validated by their
    annotations. Models of torchvision and of users are initialized by their own code, unless another initializer is
    chosen.
    """

    fixed: dict[str, Any] = {
        'name': (Literal[MODELS.canonical(name)], ...),
        'initializer': (_initializer_type(), OWN if ':' in name else 'glorot-normal')}
    model = MODELS.find(name)
    try:
        signature = inspect.signature(model, eval_str=True)
    except NameError as error:
        raise LthError(f'{name}: an annotation cannot be evaluated: {error}.') from None
    except (TypeError, ValueError) as error:
        raise LthError(f'{name}: its arguments cannot be read: {error}. Give a function (shape, classes).') from None
    options: dict[str, Any] = {
        option.name: (Any if option.annotation is option.empty else option.annotation,
                      ... if option.default is option.empty else option.default)
        for option in signature.parameters.values() if option.kind is option.KEYWORD_ONLY}
    if taken := ModelSettings.model_fields.keys() & options.keys():
        raise LthError(f'{name}: its argument {min(taken)!r} has the same name as a setting of every model. '
                       'Rename the argument.')
    try:
        exact: type[ModelSettings] = pydantic.create_model('ModelSettings', __base__=ModelSettings, **fixed, **options)
    except pydantic.errors.PydanticSchemaGenerationError as error:
        raise LthError(f'{name}: an argument has a type that recipes cannot store: '
                       f'{excerpt(error)}. Use numbers, strings, bools or lists of them.') from None
    return exact


def _initializer_type() -> Any:
    names = {'description': 'How weights are initialized; `own`: by the code of the model.'}
    return Annotated[str, AfterValidator(_initializer), WithJsonSchema(names | name_schema(INITIALIZERS, OWN))]


def _initializer(name: str) -> str:
    return OWN if name == OWN else INITIALIZERS.recorded(name)


def batch_norm(channels: int, norm: Norm) -> nn.Module:
    """BatchNorm with (`affine`) or without (`plain`) scale and shift; running statistics either way."""

    return nn.BatchNorm2d(channels, affine=norm == 'affine')
