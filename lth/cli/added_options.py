"""Options that a decorator adds to a command: what several commands take, and handle before they start."""
import functools
import inspect
from collections.abc import Callable
from typing import Any


def add_option(
        function: Callable[..., None], name: str, annotation: Any, *, default: Any,
        handle: Callable[[Any, dict[str, Any]], None]) -> Callable[..., None]:
    """The command with one more option. `handle` receives the value of the option and the arguments of the command,
    which it may change.
    """

    @functools.wraps(function)
    def run(*args: object, **kwargs: Any) -> None:
        handle(kwargs.pop(name, default), kwargs)
        function(*args, **kwargs)
    signature = inspect.signature(function)
    option = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    # Typer reads the options from the signature and the annotations.
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), option])
    run.__annotations__ = {**function.__annotations__, name: annotation}
    return run
