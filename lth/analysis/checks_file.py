"""checks.json of RUN-checks-round-NN: the report of the sanity checks, with a checksum.

    report = read_checks(Path('runs/lenet-300-100-digits-checks-round-20'))
"""
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from lth.errors import LthError
from lth.runs.checked_json import encode_checked, read_checked
from lth.runs.stored import Count, Share, ShortText, Stored, validate_stored
from lth.system import files
from lth.system.yaml_text import Raw

CHECKS = 'checks.json'
_ADVICE = 'Restore it from a copy, or move it away and repeat lth sanity-check, which writes it again.'
_MOST_BYTES = 2 ** 24
_MOST_SEEDS = 100_000
_Percentages = Annotated[list[Annotated[float, Field(ge=0, le=100)]], Field(max_length=_MOST_SEEDS)]


class StoredInterval(Stored):
    """A mean over n seeds with the margin of its confidence interval."""

    mean: float
    margin: float | None
    n: Count


class StoredOriginal(Stored):
    """The accuracy of the original ticket, and that of each seed."""

    accuracy_percent: StoredInterval
    accuracies_percent: _Percentages


class StoredCheck(StoredOriginal):
    """A check, or the dense network, which gets no verdict. `changes` has an entry for each seed."""

    check: ShortText
    difference_points: StoredInterval
    p: Share | None
    verdict: Literal['survives', 'fails', 'undecided'] | None = None
    changes: Annotated[list[dict[ShortText, Any]], Field(max_length=_MOST_SEEDS)]
    sentence: ShortText


class StoredReport(Stored):
    """The report of the checks of a round of a run. Later versions may add entries."""

    model_config = ConfigDict(extra='ignore')

    version: Count
    run: ShortText
    round: Count
    kept: Count
    seeds: Annotated[list[Count], Field(max_length=_MOST_SEEDS)]
    original: StoredOriginal
    dense: StoredCheck
    checks: Annotated[list[StoredCheck], Field(max_length=1000)]


def write_checks(folder: Path, report: Raw) -> None:
    """Write the report, as `lth sanity-check --json` prints it, to the folder of all checks."""

    files.write(folder / CHECKS, encode_checked(report))


def read_checks(folder: Path) -> StoredReport:
    """The report in the folder of all checks. LthError if the file was changed or was not written by lth."""

    path = folder / CHECKS
    raw = read_checked(path, at_most=_MOST_BYTES, advice=_ADVICE)
    return validate_stored(StoredReport, raw, str(path), _ADVICE)


def read_reports(folders: Iterable[Path], notes: list[str]) -> list[StoredReport]:
    """The reports in those of the folders that have one; `notes` gets a sentence for each that cannot be read."""

    reports = []
    for folder in folders:
        if not (folder / CHECKS).is_file():
            continue
        try:
            reports.append(read_checks(folder))
        except LthError as error:
            notes.append(f'{folder} is left out: {error}')
    return reports
