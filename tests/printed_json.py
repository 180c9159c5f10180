"""What commands print with --json."""
import json
from typing import Any


def printed_json(lth: Any, *arguments: str) -> Any:
    """What a command prints with --json. It has to succeed; `lth` is the fixture of this name."""

    result = lth(*arguments, '--json')
    assert result.code == 0, result.err
    return json.loads(result.out)
