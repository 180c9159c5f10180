"""The option --trust-code of all commands that open recipes: code that a recipe names may run."""
import functools
from collections.abc import Callable
from typing import Annotated, Any

import typer

from lth.cli.added_options import add_option
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

    return add_option(function, 'trust_code', _TrustCode, default=False, handle=_trust)


def _trust(everything: bool, _arguments: dict[str, Any]) -> None:
    if everything:
        trust.add_everything()
