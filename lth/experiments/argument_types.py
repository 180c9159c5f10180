"""Arguments of the Python API compared with the annotations of its functions, before anything is computed.

Only the annotations that the API uses are understood: add another one to `_fits` and `_in_words`.
"""
import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Any, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from lth.errors import LthError, quote, suggestion
from lth.registry import trust

P = ParamSpec('P')
T = TypeVar('T')
# The smallest and the largest whole number; None for no upper limit.
_Limits = tuple[int, int | None]

# Arguments with their own checks, and the limits of whole numbers, as on the command line; those that are not listed
# are at least 0.
_OTHER_CHECKS = {'model', 'data', 'seeds', 'engine'}
_LIMITS = {
    'threads': (1, None), 'control_draws': (1, 1_000), 'pairs': (1, 1_000), 'points': (3, 10_000),
    'images': (1, 2_000), 'epochs': (1, 999_999_999)}
_WORDS = {int: 'a whole number', float: 'a number', bool: 'True or False', str: 'a string', NoneType: 'None',
          Path: 'a path', Mapping: 'a dict'}


def check_types(options: type[Any]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator: an argument that does not fit its annotation is an LthError. `options` is the TypedDict of the
    function's further keyword arguments. With `trust_code`, a recipe may name any code during the call.
    """

    known = get_type_hints(options)

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            hints = get_type_hints(function) | known
            for name, value in _arguments(signature.bind(*args, **kwargs)):
                if name not in hints:
                    raise LthError(f'Unknown argument {quote(name)}{suggestion(name, {*signature.parameters, *known})}')
                if name not in _OTHER_CHECKS:
                    _check(name, value, hints[name])
            with trust.strict_call(everything=bool(kwargs.get('trust_code'))):
                return function(*args, **kwargs)
        return checked
    return decorate


def _arguments(bound: inspect.BoundArguments) -> Iterator[tuple[str, Any]]:
    """All arguments by name, also those that the function takes as `**options`."""

    for name, value in bound.arguments.items():
        if bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            yield from value.items()
        else:
            yield name, value


def _check(name: str, value: Any, annotation: Any) -> None:
    limits = _LIMITS.get(name, (0, None))
    if not _fits(value, annotation, limits):
        raise LthError(f'{name}: {quote(value)} is not possible. Give {_in_words(annotation, limits)}.')


def _fits(value: Any, annotation: Any, limits: _Limits) -> bool:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is Sequence:
        return _is_list(value) and all(_fits(element, parts[0], limits) for element in value)
    if origin is Mapping:
        return isinstance(value, Mapping)
    if parts:
        return any(_fits(value, part, limits) for part in parts)
    return _is_a(value, annotation, limits)


def _is_a(value: Any, annotation: type[Any], limits: _Limits) -> bool:
    """Whether the value has a type without parameters; numbers of numpy are numbers, bools are none."""

    if annotation in (int, float):
        number = isinstance(value, Integral if annotation is int else Real) and not isinstance(value, bool)
        return number and (_is_within(value, limits) if annotation is int else math.isfinite(value))
    return isinstance(value, annotation) and '\0' not in str(value)


def _is_within(value: Any, limits: _Limits) -> bool:
    smallest, largest = limits
    return bool(value >= smallest and (largest is None or value <= largest))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _in_words(annotation: Any, limits: _Limits) -> str:
    """What an annotation accepts, for a message."""

    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ' or '.join(map(repr, parts))
    if origin is Sequence:
        return f'a list in which each element is {_in_words(parts[0], limits)}'
    if parts and origin is not Mapping:
        return ' or '.join(_in_words(part, limits) for part in parts)
    words = _WORDS.get(origin or annotation, f'an object of type {annotation.__name__}')
    if annotation is not int:
        return words
    smallest, largest = limits
    return f'{words} from {smallest}' + ('' if largest is None else f' to {largest:,}')
