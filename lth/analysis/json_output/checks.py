"""Sanity checks and their steps."""
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lth.analysis.json_output.values import Mean


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a check changed in the ticket of one seed, see lth.pruning.ticket_differences.TicketDifference."""

    # pylint: disable=duplicate-code # that class may change without changing the output
    kept_before: int
    kept: int
    layer_counts_kept: bool
    positions: int
    weights: int
    signs: int
    values_kept: bool
    distribution: float
    magnitudes: float
    emptied: list[str]


@dataclass(frozen=True, kw_only=True)
class Original:
    """The ticket or gem, finetuned without a change."""

    accuracy_percent: Mean
    accuracies_percent: list[float]


@dataclass(frozen=True, kw_only=True)
class Reference(Original):
    """The dense network, compared with the original."""

    check: str
    difference_points: Mean
    p: float | None
    changes: list[Change]
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Check(Reference):
    """A check, compared with the original."""

    verdict: Literal['survives', 'fails', 'undecided']


@dataclass(frozen=True, kw_only=True)
class SanityReport:
    """The output of `lth sanity-check`, also in RUN-checks-round-NN/checks.json."""

    run: Path
    round: int
    kept: int
    seeds: list[int]
    original: Original
    dense: Reference
    checks: list[Check]


@dataclass(frozen=True, kw_only=True)
class CheckStep:
    """A run that would be trained."""

    step: str
    folder: Path
    kept: int
    iterations: int


@dataclass(frozen=True, kw_only=True)
class CheckSteps:
    """The output of `lth sanity-check --dry-run`."""

    seeds: list[int]
    steps: list[CheckStep]
