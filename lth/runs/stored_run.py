"""A run that is read from its files alone, without its network: code that its recipe names is never imported.

    run = StoredRun.open(Path('runs/lenet-300-100-digits'))
    run.record(seed=0, number=3).test_accuracy

Reading runs of the present format does not import torch either, so that lists of many runs are fast.
"""
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lth.errors import LthError, quote
from lth.runs import integrity, metrics_file, run_source, seed_folders, sessions
from lth.runs.integrity import CheckedFolder
from lth.runs.metrics_file import METRICS, MetricsLine
from lth.runs.recipe_digest import recipe_digest
from lth.runs.events_file import EventLine
from lth.runs.round_record import RoundRecord, read_events, read_record
from lth.system import lazy_import, yaml_text
from lth.system.yaml_text import Raw

# Needed only for rounds of version 0.1.0, whose facts are in the headers of tensor files.
if TYPE_CHECKING:
    from lth.runs import old_rounds
else:
    old_rounds = lazy_import.module('lth.runs.old_rounds')

# Settings of algorithms whose rounds have numbers of their own, not those of the source's rounds.
_OWN_NUMBERS = frozenset({'then_prune', 'drawn'})
_SECTIONS = ('model', 'data', 'algorithm')


@dataclass(frozen=True)
class StoredRun:
    """The folder of a run with the recipe in it."""

    folder: Path
    recipe: Raw

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The run in the folder. LthError if its recipe cannot be read or lacks what every recipe has."""

        path = folder / 'recipe.yaml'
        recipe = yaml_text.read_yaml(path)
        for section in _SECTIONS:
            settings = recipe.get(section)
            if not isinstance(settings, dict) or not isinstance(settings.get('name'), str):
                raise LthError(f'{path} is damaged or is not the recipe of a run: its section {section} has no name. '
                               f'{integrity.repair_advice(folder)}')
        return cls(folder, recipe)

    def seeds(self) -> list[int]:
        """The seeds with at least one completed round."""

        return seed_folders.seeds_with_rounds(self.folder)

    def round_count(self, seed: int) -> int:
        """Number of completed rounds of a seed, from round 0 to the first that is missing. LthError if something else
        than a folder has the name of a round.
        """

        return seed_folders.round_count(self.folder, seed)

    def record(self, seed: int, number: int) -> RoundRecord:
        """The facts about a round and its main results. LthError if its file was changed or is of another round."""

        folder = self.open_round(seed, number)
        record = old_rounds.read_record(folder) if folder.sums is None else read_record(folder)
        self._check(record, seed, number)
        return record

    def metrics(self, seed: int, number: int) -> list[MetricsLine]:
        """The measurements of a round. LthError if a file was changed, or is of another round."""

        folder, record = self.open_round(seed, number), self.record(seed, number)
        content = folder.read(METRICS, at_most=record.measurements * metrics_file.MOST_BYTES_OF_LINE)
        path = folder.folder / METRICS
        lines = metrics_file.parse(content, path, folder.advice, count=record.measurements)
        if (lines[-1], metrics_file.early_stop(lines)) != (record.last, record.early_stop):
            raise LthError(f'{path} does not belong to the other files of its round: its results are not those in '
                           f'round.json. {folder.advice}')
        return lines

    def events(self, seed: int, number: int) -> list[EventLine]:
        """The events of a round whose mask moved; [] if it did not."""

        return read_events(self.open_round(seed, number), self.record(seed, number))

    def open_round(self, seed: int, number: int) -> CheckedFolder:
        """The folder of a round, whose files are compared with their checksums when they are read."""

        return integrity.open_folder(self._round_folder(seed, number), integrity.repair_advice(self.folder))

    @cached_property
    def planned_rounds(self) -> int | None:
        """Number of rounds that each seed will have, None if an earlier version did not record it."""

        recorded = [entry.get('planned_rounds') for entry in self.sessions]
        return max((number for number in recorded if number is not None), default=None)

    @cached_property
    def requested_seeds(self) -> frozenset[int]:
        """The seeds that the sessions were started for."""

        return frozenset(seed for entry in self.sessions for seed in entry.get('seeds', ()))

    @cached_property
    def sessions(self) -> list[Raw]:
        """The entries of all sessions that saved something, in order."""

        return sessions.read(self.folder, self._digest)

    @property
    def source_folder(self) -> Path | None:
        """The folder of the run whose tickets this run trains, None if it searches itself."""

        return run_source.source_folder(self.folder, self.recipe['algorithm'])

    def source_round(self, number: int) -> int:
        """The round of the source run from which round `number` starts."""

        settings = self.recipe['algorithm']
        rounds, source_round = settings.get('rounds'), settings.get('round')
        if isinstance(rounds, list) and number < len(rounds):
            source_round = rounds[number]
        return source_round if isinstance(source_round, int) else number

    def table_round(self, number: int) -> int:
        """The number by which tables show round `number`, see AlgorithmSettings."""

        return self.source_round(number) if _OWN_NUMBERS.isdisjoint(self.recipe['algorithm']) else number

    def starts_from(self, source: 'StoredRun') -> bool:
        """Whether the rounds of this run started from the tickets that the source run has now, as far as both recorded
        them. Source rounds that are missing, or were removed with their whole folder, say nothing.
        """

        mask_seed = self.recipe['algorithm'].get('mask_seed')
        for seed in self.seeds():
            from_seed = seed if mask_seed is None else mask_seed
            for number in range(self.round_count(seed)):
                source_number, recorded = self.source_round(number), self.record(seed, number).source
                if recorded is None or source_number >= source.round_count(from_seed):
                    continue
                present = source.record(from_seed, source_number).ticket
                if present is not None and present != recorded:
                    return False
        return True

    def _check(self, record: RoundRecord, seed: int, number: int) -> None:
        """LthError if a record is of another round, or of a run of another recipe."""

        expected = {'seed': seed, 'round': number, 'dataset': self.recipe['data']['name']}
        if record.recipe is not None:
            expected['recipe'] = self._digest
        for key, value in expected.items():
            if getattr(record, key) != value:
                raise LthError(f'{self._round_folder(seed, number)} is not the round that belongs there: its {key} is '
                               f'{quote(getattr(record, key))}, not {quote(value)}. '
                               f'{integrity.repair_advice(self.folder)}')

    @cached_property
    def _digest(self) -> str:
        try:
            return recipe_digest(self.recipe, self.recipe)
        except (TypeError, ValueError, RecursionError):  # dates, sets, and what else YAML has and JSON has not
            raise LthError(f'{self.folder / "recipe.yaml"} is damaged: it holds values that no recipe has. '
                           f'{integrity.repair_advice(self.folder)}') from None

    def _round_folder(self, seed: int, number: int) -> Path:
        return seed_folders.round_folder(self.folder, seed, number)
