"""JSON files that carry their own checksum, in the field `checksum`: the SHA-256 of all other fields."""
import hashlib
import json
from pathlib import Path

from lth.errors import LthError
from lth.system.json_text import read_json
from lth.system.yaml_text import Raw

_FIELD = 'checksum'


def encode_checked(content: Raw) -> bytes:
    """The text of a file with this content, and its checksum as the last field."""

    return json.dumps(content | {_FIELD: checksum(content)}, indent=2, allow_nan=False).encode()


def read_checked(path: Path, *, at_most: int, advice: str) -> Raw:
    """The content of a file of at most so many bytes, without its checksum. LthError, which ends with the advice, if it
    was changed.
    """

    content = read_json(path, at_most=at_most, advice=advice)
    if not isinstance(content, dict) or content.pop(_FIELD, None) != checksum(content):
        raise LthError(f'{path} is damaged or was changed: its checksum is not that of its content. {advice}')
    return content


def checksum(content: Raw) -> str:
    """The SHA-256 of the content, whatever the order of its keys."""

    text = json.dumps(content, sort_keys=True, separators=(',', ':'), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
