"""The settings of one rare-gems file. Values are validated when they are read; errors are collected until the end."""
import functools
from collections.abc import Mapping
from typing import Any

import pydantic

from lth.errors import quote, suggestion
from lth.recipes.rare_gems.keys import CONVERTED, IGNORED, KNOWN, REFUSED

_CAN_BE_UNREAD = frozenset(KNOWN) - IGNORED.keys()


class Reader:
    """A converted key is an attribute: `reader.lr` is its value, or the published default if the file has none or the
    value is wrong. `completed` are the values of keys that the file lacks, given on the command line. `errors` are the
    messages so far.
    """

    def __init__(self, raw: Mapping[str, Any], completed: Mapping[str, Any]) -> None:
        self._raw = {str(key): value for key, value in raw.items() if value is not None}
        self._completed = {key: value for key, value in completed.items() if key not in self._raw}
        self._keys = [str(key) for key in raw]
        self._read: set[str] = set()
        self._notes = [_ignored_note(key, self._raw[key]) for key in IGNORED if key in self._raw]
        self.errors = [f'unknown key {quote(key)}{_suggestion(key)}' for key in raw if key not in KNOWN]

    def __contains__(self, key: str) -> bool:
        return key in self._raw

    def __getattr__(self, key: str) -> Any:
        if key not in CONVERTED:
            raise AttributeError(key)
        self._read.add(key)
        if key in self._completed:
            return self._completed[key]
        default, example = CONVERTED[key].default, CONVERTED[key].example
        value = self._raw.get(key, default)
        if value is None:
            self._add(f'the key {quote(key)} is missing: add it, such as `{key}: {example}`.')
            return _convert(key, example)
        try:
            return _convert(key, value)
        except pydantic.ValidationError as error:
            message = error.errors()[0]['msg'].removeprefix('Value error, ').removeprefix('Input ')
            self.error(key, message if message.endswith('?') else f'{message}.')
            return _convert(key, default if example is None else example)

    def error(self, key: str, message: str) -> None:
        """Add an error: the key, its value and the message, which is the rest of the sentence."""

        self._add(f'{key}: {quote(self._raw.get(key))} {message}')

    def refuse_unsupported(self, kind: str) -> None:
        """Add an error for each key that would change the result of this kind of search in a way that lth cannot."""

        for key, refusal in REFUSED.items():
            if key in self and refusal.applies(kind, key, self._raw):
                self.error(key, f'is not supported: {refusal.reason}.')

    def note(self, sentence: str) -> None:
        """Add a note for the user, a sentence without a period."""

        self._notes.append(sentence)

    def notes(self) -> tuple[str, ...]:
        """All notes; the last ones list the published defaults that were used and the keys that were not read."""

        used = [f'{key} {CONVERTED[key].default}' for key in CONVERTED
                if key in self._read and key not in self and CONVERTED[key].default]
        unread = [key for key in self._keys if key in _CAN_BE_UNREAD and key not in self._read]
        lists = (('not given, so the default of rare-gems is used: ', used), ('not needed here: ', unread))
        return (*self._notes, *(start + ', '.join(keys) for start, keys in lists if keys))

    def _add(self, error: str) -> None:
        if error not in self.errors:  # a key may be read more than once
            self.errors.append(error)


def _convert(key: str, value: Any) -> Any:
    return _type(key).validate_python(value, strict=True)


@functools.cache
def _type(key: str) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(CONVERTED[key].type, config=pydantic.ConfigDict(allow_inf_nan=False))


def _ignored_note(key: str, value: Any) -> str:
    """What rare-gems really did with a key that it does not read."""

    instead = IGNORED[key]
    default = CONVERTED[instead].default if instead in CONVERTED else None
    missing = f', which is {default} unless the file gives it' if default else ''
    return f'{key} {quote(value)} has no effect, as in rare-gems, which reads {instead} instead{missing}'


def _suggestion(key: Any) -> str:
    """The end of an error about an unknown key."""

    similar = suggestion(str(key), KNOWN)
    return similar if similar.startswith(',') else ': no key of rare-gems is similar. Leave it out.'
