"""Names of engines: what users choose, what runs record, and what earlier versions called them. Imports no torch."""
from typing import Literal, cast, get_args

from lth.errors import LthError, quote

EngineChoice = Literal['auto', 'eager', 'sparse']
# What users choose, and what is decided for them: `if-possible` compiles, but trains without if that fails.
CompileChoice = Literal['auto', 'on', 'off']
ReplicateChoice = Literal['branches', 'stacked']
CompileDecision = Literal['on', 'if-possible', 'off']

# The only place that knows names of earlier versions.
_FORMER_NAMES = {'plain': 'eager', 'plain or sparse': 'eager or sparse'}


def current_engine_name(recorded: str) -> str:
    """Today's name of an engine that a run recorded, perhaps with an earlier version."""

    return _FORMER_NAMES.get(recorded, recorded)


def engine_choice(text: str) -> EngineChoice:
    """The choice that a user or a recorded session names; former names are accepted. Raises LthError for others.

        >>> engine_choice('plain')
        'eager'
    """

    name, choices = current_engine_name(text), get_args(EngineChoice)
    if name not in choices:
        raise LthError(f'Unknown engine {quote(text)}. Choose one of {", ".join(choices)}.')
    return cast(EngineChoice, name)
