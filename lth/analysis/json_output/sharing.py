"""What `lth card`, `lth push` and `lth pull` print."""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from lth.analysis.model_card.card import ModelCard


@dataclass(frozen=True, kw_only=True)
class WrittenCard:
    """The output of `lth card`."""

    run: Path
    file: Path
    figure: Path | None
    notes: list[str]

    @classmethod
    def of(cls, card: 'ModelCard') -> Self:
        """The output for a card that was written."""

        return cls(run=card.run, file=card.file, figure=card.figure, notes=list(card.notes))


@dataclass(frozen=True, kw_only=True)
class PushedRun:
    """The output of `lth push`. Without an upload, `url` and `commit` are null."""

    repository: str
    url: str | None
    commit: str | None
    runs: list[str]
    files: list[str]
    bytes: int
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class PulledRun:
    """The output of `lth pull`."""

    repository: str
    commit: str
    folder: Path
    run: Path
    runs: list[Path]
    left_out: list[str]
