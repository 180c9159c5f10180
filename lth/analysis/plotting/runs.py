"""The runs of a figure, read from their files alone: without tensors, and without the code that their recipes name."""
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lth.analysis import run_view
from lth.analysis.run_view import RunView
from lth.analysis.summary_table import RoundSummary, algorithm_settings, control_rows, summary_rows
from lth.errors import LthError
from lth.runs.run_path import RunPath
from lth.recipes.schema import AlgorithmSettings
from lth.runs.round_record import RoundRecord
from lth.runs.stored_run import StoredRun

# At each end of a long name.
_MOST_CHARACTERS = 30


@dataclass(frozen=True)
class PlottedRun:
    """A run with its controls and the runs that start from it. `label` is its name in legends, unique in a figure."""

    view: RunView
    label: str

    @property
    def run(self) -> StoredRun:
        """The run."""

        return self.view.run

    @property
    def seeds(self) -> list[int]:
        """The seeds that are shown."""

        return self.view.seeds

    @property
    def model(self) -> str:
        """The name of the model."""

        return str(self.run.recipe['model']['name'])

    @property
    def dataset(self) -> str:
        """The name of the data set."""

        return str(self.run.recipe['data']['name'])

    @cached_property
    def settings(self) -> AlgorithmSettings:
        """The settings of the algorithm."""

        return algorithm_settings(self.run)

    @cached_property
    def rows(self) -> list[RoundSummary]:
        """The rounds, with means over the seeds that have them."""

        return summary_rows([self.run], self.seeds)

    @cached_property
    def control_rows(self) -> dict[str, list[RoundSummary]]:
        """The rounds of each control, over all its draws; round 0 is left out if it is that of the run."""

        return {name: list(control_rows(draws, self.seeds).values()) for name, draws in self.view.controls.items()}

    @cached_property
    def first_record(self) -> RoundRecord:
        """The record of round 0 of the first seed."""

        return self.run.record(self.seeds[0], 0)

    @property
    def notes(self) -> list[str]:
        """What is missing, each in a sentence."""

        return [*self.view.unfinished, *self.view.left_out]


def open_runs(paths: Sequence[RunPath]) -> list[PlottedRun]:
    """The runs at these paths. LthError if one has no completed round or is damaged, or if they cannot be compared."""

    if not paths:
        raise LthError('There are no runs to plot. Give at least one.')
    for path in paths:
        if path.round is not None:
            raise LthError(f'{path.folder}/seed-{path.seed}/round-{path.round:02d} is a round, and figures show all '
                           f'rounds of a run. Give {path.folder}, and choose rounds with --rounds.')
    runs = labeled_runs(paths)
    refuse_other_data(runs)
    return runs


def labeled_runs(paths: Sequence[RunPath]) -> list[PlottedRun]:
    """The runs at these paths, which may be of different data sets. LthError if one has no completed round or is
    damaged.
    """

    views = [run_view.view_run(path) for path in paths]
    return [PlottedRun(view, label) for view, label in zip(views, _labels(paths), strict=True)]


def refuse_other_data(runs: Sequence[PlottedRun]) -> None:
    """LthError if the runs were not tested on the same images."""

    first = runs[0]
    for run in runs[1:]:
        if run.dataset != first.dataset:
            raise LthError(f'{run.run.folder} cannot be compared with {first.run.folder}: it was tested on '
                           f'{run.dataset}, the other on {first.dataset}. Plot runs on the same data set together.')
        if run.first_record.classes != first.first_record.classes:
            raise LthError(f'{run.run.folder} cannot be compared with {first.run.folder}: it tells '
                           f'{run.first_record.classes} classes apart, the other {first.first_record.classes}.')


def pair_title(runs: Sequence[PlottedRun]) -> str:
    """Model and data set of the runs, for the title of a figure."""

    models = list(dict.fromkeys(run.model for run in runs))
    return f'{", ".join(map(printable, models))} on {printable(runs[0].dataset)}'


def all_notes(runs: Sequence[PlottedRun]) -> tuple[str, ...]:
    """What is missing of these runs, each in a sentence, with the run if there are several."""

    if len(runs) == 1:
        return tuple(runs[0].notes)
    return tuple(f'{run.label}: {note}' for run in runs for note in run.notes)


def printable(text: str) -> str:
    """A name as a figure shows it: without control characters, and without its middle if it is long."""

    text = ''.join(character if character.isprintable() else '?' for character in text)
    return text if len(text) <= 2 * _MOST_CHARACTERS else f'{text[:_MOST_CHARACTERS]}…{text[-_MOST_CHARACTERS:]}'


def _labels(paths: Sequence[RunPath]) -> list[str]:
    """A name for each run: that of its folder, or as much of its path as tells it from the others."""

    real = [(path.folder.resolve(), path.seed) for path in paths]
    for number, path in enumerate(real):
        if path in real[:number]:
            raise LthError(f'{paths[number].folder} is given twice. Give each run once.')
    whole = [Path(os.path.abspath(path.folder)) / ('' if path.seed is None else f'seed-{path.seed}') for path in paths]
    length = 1
    while len({_ending(path, length) for path in whole}) < len(whole):
        length += 1
    return [_ending(path, length) for path in whole]


def _ending(path: Path, length: int) -> str:
    """The last parts of a path, as a name; the seed of a run counts as one with its run."""

    length += path.name.startswith('seed-')
    return printable('/'.join(path.parts[-length:]))
