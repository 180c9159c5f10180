"""The option --trust-code of all commands that open recipes: code that a recipe names may run."""
import functools
import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from lth.registry import trust, user_modules

_TrustCode = Annotated[bool, typer.Option(
    '--trust-code', help='Run the code that a recipe or a run names and that is not part of lth or of a plug-in, such '
                         'as path/to/file.py:function. Names on the command line may always run.')]


def start_without_user_code(context: typer.Context) -> None:
    """Start a command as a new process does: trust no name until the command ends, and import the user's code again."""

    context.call_on_close(functools.partial(trust.set_current, trust.current()))
    trust.set_current(trust.Trust(strict=True))
    user_modules.forget()


def accepts_trust_code(function: Callable[..., None]) -> Callable[..., None]:
    """The command with the option --trust-code in addition."""

    @functools.wraps(function)
    def run(*args: object, trust_code: bool = False, **kwargs: object) -> None:
        if trust_code:
            trust.add_everything()
        function(*args, **kwargs)
    signature = inspect.signature(function)
    option = inspect.Parameter('trust_code', inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_TrustCode)
    # Typer reads the options from the signature and the annotations.
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), option])
    run.__annotations__ = {**function.__annotations__, 'trust_code': _TrustCode}
    return run
