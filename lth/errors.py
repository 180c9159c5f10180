"""The one exception for what the user can mend; anything else that escapes is a bug of ours."""
import difflib
import os
from collections.abc import Iterable


class LthError(Exception):
    """A user's mistake, told in one paragraph: what, where, the value, and how to mend it."""


def describe(error: BaseException) -> str:
    """Another exception with its kind, for the middle of a paragraph."""

    return ' '.join(f'{type(error).__name__}: {error}'.split())


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of an error sentence: `, did you mean 'x'?`, or all the known words when none is near."""

    names = {name.lower(): name for name in sorted(known)}
    near = difflib.get_close_matches(word.lower(), names, n=3, cutoff=0.55)
    near.sort(key=lambda name: -len(os.path.commonprefix([name, word.lower()])))
    if near:
        return ', did you mean ' + ' or '.join(repr(names[name]) for name in near) + '?'
    return ' (known: ' + ', '.join(names.values()) + ')'
