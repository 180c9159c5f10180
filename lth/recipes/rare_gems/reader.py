"""The settings of one file as they are read: typed, by their published defaults, complaints gathered until the end."""
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from lth.errors import suggestion
from lth.recipes.rare_gems.keys import KNOWN, MISSPELT, REFUSED, TAKEN
from lth.registry.registry import normalize_name

T = TypeVar('T')
_HUGE = 1e300
_MOST = 999_999_999


class Reader:
    """What a file gives. Reading a key never fails: what is wrong with it is a complaint, and its default goes on."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = {str(key): value for key, value in raw.items() if value is not None}
        self._read: set[str] = set()
        self._remarks: list[str] = []
        self._written = [str(key) for key in raw]
        self.complaints = [f'unknown key {key!r}{_meant(key, raw[key])}' for key in raw if key not in KNOWN]

    def __contains__(self, key: str) -> bool:
        return key in self._raw

    def note(self, sentence: str) -> None:
        """Something that the user should know, without a full stop."""

        self._remarks.append(sentence)

    def complain(self, key: str, why: str) -> None:
        """A mistake in the value of a key, once for each."""

        value = repr(self._raw.get(key, TAKEN.get(key)))
        complaint = f'{key}: {value if len(value) <= 80 else value[:77] + "..."} {why}'
        if complaint not in self.complaints:
            self.complaints.append(complaint)

    def refuse_what_matters(self, kind: str) -> None:
        """A complaint about every key whose value would change a search of this kind in a way that is not offered."""

        for key, (matters, why, kinds) in REFUSED.items():
            if key in self and kind in kinds and matters(self._raw[key], self._raw):
                self.complain(key, f'is not offered: {why}.')

    def number(
            self, key: str, *, above: float = -math.inf, least: float = -math.inf, most: float = math.inf,
            below: float = math.inf) -> float:
        """A number between bounds."""

        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_HUGE < value < _HUGE:
            self.complain(key, 'is not a number.')
        elif not (above < value < below and least <= value <= most):
            self.complain(key, f'must be {_bounds(above, least, most, below)}.')
        else:
            return float(value)
        return float(TAKEN[key])

    def share(self, key: str, *, percent: bool = False) -> float:
        """A share in (0, 1], exactly as the decimal number that was written; or a percent as a share."""

        value = Decimal(repr(self.number(key, above=0, most=100 if percent else 1)))
        return float(value / 100 if percent else value)

    def whole(self, key: str, *, least: int, default: int | None = None) -> int:
        """A whole number; `default` where none is published."""

        value, usual = self._value(key), TAKEN[key] if default is None else default
        if value is None:
            return usual
        if not _is_whole(value):
            self.complain(key, 'is not a whole number.')
        elif not least <= value <= _MOST:
            self.complain(key, f'must be at least {least} and at most {_MOST:,}.')
        else:
            return int(value)
        return usual

    def wholes(self, key: str) -> list[int]:
        """A list of whole numbers from 1, empty if not given."""

        value = self._value(key) or []
        if isinstance(value, (list, tuple)) and all(_is_whole(one) and one > 0 for one in value):
            return list(value)
        self.complain(key, 'is not a list of whole numbers from 1.')
        return []

    def truth(self, key: str) -> bool:
        """True or False."""

        value = self._value(key)
        if value is not None and value not in (True, False):
            self.complain(key, 'is neither True nor False.')
        return value is True or value == 1

    def text(self, key: str) -> str:
        """A word or path, empty if not given."""

        value = self._value(key)
        if value is not None and not isinstance(value, str):
            self.complain(key, 'is not a text.')
        return value if isinstance(value, str) else ''

    def choice(self, key: str, choices: Mapping[str, T], *, refused: Mapping[str, str] | None = None) -> T:
        """What a name stands for, however it is capitalised; those that are refused are known, and why. The first of
        the choices goes on after a complaint.
        """

        word, reasons = self._value(key), refused or {}
        if word is None:
            self.complaints.append(f'the key {key!r} is missing: add it, such as `{key}: {next(iter(choices))}`.')
            return next(iter(choices.values()))
        for name, thing in choices.items():
            if normalize_name(str(word)) == normalize_name(name):
                return thing
        for name, why in reasons.items():
            if normalize_name(str(word)) == normalize_name(name):
                self.complain(key, f'is not offered: {why}.')
                return next(iter(choices.values()))
        self.complain(key, f'is not known{suggestion(str(word), [*choices, *reasons])}')
        return next(iter(choices.values()))

    def told(self) -> tuple[str, ...]:
        """All remarks; the last tell what was taken by its published default, and what had no part."""

        usual = [f'{key} {value}' for key, value in TAKEN.items() if value and key in self._read and key not in self]
        idle = [key for key in self._written if key in KNOWN and key not in self._read]
        return (*self._remarks, *_listed('not given, so as rare-gems has it: ', usual),
                *_listed('not needed here: ', idle))

    def _value(self, key: str) -> Any:
        self._read.add(key)
        return self._raw.get(key, TAKEN[key])


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _listed(before: str, words: list[str]) -> Iterable[str]:
    return [before + ', '.join(words)] if words else []


def _meant(key: Any, value: Any) -> str:
    """The end of a complaint about an unknown key."""

    if key in MISSPELT:
        return (f' ({value!r}), did you mean {" or ".join(map(repr, MISSPELT[key]))}? rare-gems reads nothing of that '
                'name.')
    near = suggestion(str(key), KNOWN)
    return near if near.startswith(',') else ': no key of rare-gems is near it. Leave it out.'


def _bounds(above: float, least: float, most: float, below: float) -> str:
    """Bounds in words."""

    words = {'above': above, 'at least': least, 'at most': most, 'below': below}
    return ' and '.join(f'{word} {bound:g}' for word, bound in words.items() if math.isfinite(bound))
