"""What `lth repair` finds."""
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A file or folder that is damaged or depends on one that is, and what is wrong with it."""

    path: Path
    problem: str


@dataclass(frozen=True, kw_only=True)
class RepairReport:
    """The output of `lth repair`: what was checked, what is damaged, and where it was moved, None if it was not.
    `notes` says what could not be checked.
    """

    run: Path
    seeds: int
    rounds: int
    sessions: int
    damaged: list[Damage]
    moved_to: Path | None
    notes: list[str]
