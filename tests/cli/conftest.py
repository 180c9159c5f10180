"""A clock for the displays of progress."""
import time

import pytest


class Clock:
    """Replaces time.monotonic."""

    def __init__(self) -> None:
        self.now = 100.

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, 'monotonic', clock)
    return clock
