"""JSON that is read strictly and within bounds: finite numbers, no duplicate keys, limited size and nesting."""
import collections
import json
import math
import re
from pathlib import Path
from typing import Any

from lth.errors import LthError, quote
from lth.system.reading import read_bytes

DEPTH = 32
_MOST_DIGITS = 20  # of an integer; the largest that lth writes has 10
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def read_json(path: Path, *, at_most: int, advice: str = 'Restore it from a copy.') -> Any:
    """The content of a JSON file of at most so many bytes. LthError as from `parse_json`."""

    return parse_json(read_bytes(path, at_most=at_most, advice=advice), str(path), advice)


def parse_json(content: bytes | str, origin: str, advice: str = 'Restore it from a copy.') -> Any:
    """The value of a JSON text, whose size the caller has checked. LthError, which starts with `origin`, for anything
    that is not strict JSON: NaN and infinite numbers, duplicate keys, integers of more than 20 digits, brackets nested
    more than 32 deep.
    """

    try:
        text = content if isinstance(content, str) else content.decode('utf-8')
        _check_depth(text)
        value = json.loads(text, object_pairs_hook=_object, parse_float=_finite, parse_int=_integer,
                           parse_constant=_refuse_constant)
        # An escaped half of a surrogate pair is valid JSON, but no text that could be printed or encoded.
        if '\\u' in text:
            json.dumps(value, ensure_ascii=False).encode('utf-8')
    except ValueError as error:
        raise LthError(f'{origin} is corrupt or not JSON ({error}). {advice}') from None
    return value


def _check_depth(text: str) -> None:
    """ValueError if brackets outside of strings are nested too deep."""

    depth = 0
    for mark in _MARKS.finditer(text):
        first = mark[0][0]
        depth += (first in '[{') - (first in ']}')
        if depth > DEPTH:
            raise ValueError(f'it is nested more than {DEPTH} levels deep')


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = collections.Counter(key for key, _ in pairs)
        raise ValueError(f'the key {quote(counts.most_common(1)[0][0])} is given twice')
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f'{quote(text)} is not a finite number')
    return value


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f'{quote(text)} has more than {_MOST_DIGITS} digits')
    return int(text)


def _refuse_constant(text: str) -> float:
    raise ValueError(f'{text} is not a finite number')
