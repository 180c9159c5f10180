"""Options that a decorator adds to a command: what several commands take, and handle before they start."""
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class AddedOption(NamedTuple):
    """An option as typer declares it: the annotation of a parameter, and its default."""

    annotation: Any
    default: Any


def add_option(
        function: Callable[..., None], name: str, annotation: Any, *, default: Any,
        handle: Callable[[Any, dict[str, Any]], None]) -> Callable[..., None]:
    """The command with one more option. `handle` receives the value of the option and the arguments of the command,
    which it may change.
    """

    option = AddedOption(annotation, default)
    return add_options(function, {name: option}, lambda values, arguments: handle(values[name], arguments))


def add_options(
        function: Callable[..., None], options: Mapping[str, AddedOption],
        handle: Callable[[dict[str, Any], dict[str, Any]], None], made: str | None = None) -> Callable[..., None]:
    """The command with more options. `handle` receives the values of the options by name, and the arguments of the
    command, which it may change. `made` is the parameter of the command, if there is one, that `handle` sets.
    """

    @functools.wraps(function)
    def run(*args: object, **kwargs: Any) -> None:
        values = {name: kwargs.pop(name, option.default) for name, option in options.items()}
        handle(values, kwargs)
        function(*args, **kwargs)
    signature = inspect.signature(function)
    others = [parameter for name, parameter in signature.parameters.items() if name != made]
    added = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
             for name, (annotation, default) in options.items()]
    # Typer reads the options from the signature and the annotations.
    run.__signature__ = signature.replace(parameters=[*others, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {**function.__annotations__, **{name: option.annotation for name, option in options.items()}}
    return run
