"""The one exception for mistakes of the user and failures of the environment; any other exception is a bug of lth.
Also the one warning.
"""
import difflib
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from typing import TypeGuard

# Of terminals: they could hide or recolor what follows, or move the cursor. Line ends and tabs remain.
_CONTROL_CHARACTER = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]')

USER_ERROR = 2
ENVIRONMENT_ERROR = 3
BUG = 70  # EX_SOFTWARE of sysexits.h


class LthError(Exception):
    """An error that the user can fix. The message says in one paragraph what is wrong, where, with which value, and how
    to fix it. `exit_code` is USER_ERROR, or ENVIRONMENT_ERROR for disk, locks, memory and network.
    """

    def __init__(self, message: str, *, exit_code: int = USER_ERROR) -> None:
        super().__init__(printable(shorten_words(message)))
        self.exit_code = exit_code
        # That of an exception of code outside of lth, for --traceback: text, as it comes from other processes too.
        self.traceback = ''

    def extended(self, addition: str) -> 'LthError':
        """The same error with one more sentence."""

        error = LthError(f'{self} {addition}', exit_code=self.exit_code)
        error.traceback = self.traceback
        return error


class LthWarning(UserWarning):
    """What the user should know although nothing fails. Commands print it once, as a note."""


def quote(value: object) -> str:
    """A value of the user as Python writes it, for a message: on one line, and shortened to 100 characters."""

    # Python needs seconds to write a number of 50,000 digits, and refuses to write more than 4,300.
    text = f'a number of {value.bit_length()} bits' if _is_huge(value) else repr(value)
    text = ' '.join(line.strip() for line in text.splitlines())
    return text if len(text) <= 100 else f'{text[:97]}...'


def _is_huge(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and value.bit_length() > 10_000


def shorten_words(text: str) -> str:
    """A message in which no word, such as the path of a file, has more than 300 characters."""

    return re.sub(r'\S{301,}', lambda word: f'{word[0][:300]}...', text)


def excerpt(text: object) -> str:
    """A text of others, such as a message of a library, on one line and shortened to 200 characters."""

    line = ' '.join(str(text).split())
    return line if len(line) <= 200 else f'{line[:197]}...'


def printable(text: str) -> str:
    """The text with control characters of terminals, which file names may contain, as Python writes them: `\\x1b`."""

    return _CONTROL_CHARACTER.sub(lambda found: ascii(found[0])[1:-1], text)


def describe(error: BaseException) -> str:
    """The class and message of an exception on one line."""

    return ' '.join(f'{type(error).__name__}: {error}'.split())


def number_ranges(numbers: Sequence[int]) -> str:
    """Increasing numbers with ranges, such as 1–4, 7."""

    groups = itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    return ', '.join(_number_range([number for _, number in group]) for _, group in groups)


def _number_range(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    return f'{numbers[0]}{"–" if len(numbers) > 2 else ", "}{numbers[-1]}'


def suggestion(word: str, known: Iterable[str], *, listed_by: str = '') -> str:
    """The end of an error message: `, did you mean 'x'?` with the known words that start with `word`, or else are
    similar. If there are none, ` (known: x, y)` with all of them, or the command that lists them.
    """

    names = {name.lower(): name for name in sorted(known)}
    similar = [name for name in names if word and name.startswith(word.lower())][:3]
    similar = similar or difflib.get_close_matches(word.lower(), names, n=3, cutoff=0.55)
    similar.sort(key=lambda name: -len(os.path.commonprefix([name, word.lower()])))
    if similar:
        return ', did you mean ' + ' or '.join(repr(names[name]) for name in similar) + '?'
    return f'. See `{listed_by}`.' if listed_by else ' (known: ' + ', '.join(names.values()) + ')'
