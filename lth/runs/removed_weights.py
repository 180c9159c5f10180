"""Weights of rounds that are not on disk: the option --keep removed them, or the imported files lacked them. Here all
commands learn which of the weights that they need are missing, and how to say so.
"""
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from lth.errors import LthError, number_ranges
from lth.runs import integrity, seed_folders

Weights = Literal['ticket', 'trained']
_NAMES: dict[tuple[str, ...], str] = {
    ('ticket',): 'tickets', ('trained',): 'trained weights', ('ticket', 'trained'): 'weights'}


class Needed(NamedTuple):
    """Weights of a round of a seed: those with which it started (`ticket`), or those to which it was trained."""

    seed: int
    round: int
    weights: Weights


def start_and_end(rounds: Iterable[tuple[int, int]]) -> Iterator[Needed]:
    """What is needed to compare the weights of these seeds and rounds before and after training."""

    for seed, number in rounds:
        yield Needed(seed, number, 'ticket')
        yield Needed(seed, number, 'trained')


@dataclass(frozen=True)
class MissingWeights:
    """The weights of a run that are missing, of those that are needed; false if there are none. `imported` says that an
    imported run never had them.
    """

    folder: Path
    needed: frozenset[Needed]
    missing: frozenset[Needed]
    imported: bool

    @classmethod
    def of(cls, folder: Path, needed: Iterable[Needed]) -> 'MissingWeights':
        """What is missing of the needed weights of completed rounds in a run folder. LthError if one of these rounds is
        damaged.
        """

        every, missing, reasons = frozenset(needed), set[Needed](), set[str]()
        for one in every:
            path = seed_folders.round_folder(folder, one.seed, one.round)
            removed = integrity.open_folder(path, integrity.repair_advice(folder)).removed
            if removal := removed.get(f'{one.weights}.safetensors'):
                missing.add(one)
                reasons.add(removal.keep)
        return cls(folder, every, frozenset(missing), reasons == {integrity.UNKNOWN})

    def __bool__(self) -> bool:
        return bool(self.missing)

    @property
    def rounds(self) -> list[int]:
        """The rounds whose weights are missing for at least one seed."""

        return sorted({one.round for one in self.missing})

    def includes(self, seed: int, number: int) -> bool:
        """Whether weights of this round of this seed are missing."""

        return any((one.seed, one.round) == (seed, number) for one in self.missing)

    def sentence(self) -> str:
        """What is missing, without a full stop: `runs/a: the option --keep removed the tickets of rounds 1–3`."""

        cause = 'the imported files lack' if self.imported else 'the option --keep removed'
        names = _NAMES[tuple(sorted({one.weights for one in self.missing}))]
        return f'{self.folder}: {cause} the {names} of {_rounds(self.rounds)}{self._seeds()}'

    def remedy(self) -> str:
        """How to get the weights, as a sentence."""

        if self.imported:
            return 'Import the run again with the weights from before training: lth import … --rewind FILE.'
        return (f'To have them again, repeat the command that trained {self.folder} with --keep all and --restart, or '
                'with --keep all in another folder (--run); or restore the files from a copy.')

    def error(self, consequence: str, alternative: str | None = None) -> LthError:
        """The error of a command that needs the weights. `consequence` ends the sentence; `alternative` is another one,
        '' for none, on what can be done without them: by default, which rounds still have them.
        """

        alternative = self._alternative() if alternative is None else alternative
        return LthError(' '.join(filter(None, (f'{self.sentence()}{consequence}.', alternative, self.remedy()))))

    def _alternative(self) -> str:
        numbers = self._present()
        if not numbers or self.imported:
            return ''
        return f'{_rounds(numbers).capitalize()} still {"have" if len(numbers) > 1 else "has"} them.'

    def _present(self) -> list[int]:
        """The rounds that all seeds have, with all kinds of weights that are missing elsewhere."""

        seeds, kinds = {one.seed for one in self.needed}, {one.weights for one in self.missing}
        count = min(seed_folders.round_count(self.folder, seed) for seed in seeds)
        present = []
        for number in range(count):
            needed = (Needed(seed, number, kind) for seed in seeds for kind in kinds)
            if not MissingWeights.of(self.folder, needed):
                present.append(number)
        return present

    def _seeds(self) -> str:
        """The seeds whose weights are missing, in parentheses, if those of other seeds are there."""

        missing = {(one.seed, one.round) for one in self.missing}
        seeds = sorted({seed for seed, _ in missing})
        if all((one.seed, number) in missing for one in self.needed for number in self.rounds):
            return ''
        return f' (seed{"s" * (len(seeds) > 1)} {number_ranges(seeds)})'


def refuse_missing(folder: Path, needed: Iterable[Needed], consequence: str = ', which are needed here') -> None:
    """LthError if needed weights are missing. `consequence` as in MissingWeights.error."""

    if missing := MissingWeights.of(folder, needed):
        raise missing.error(consequence)


def _rounds(numbers: Sequence[int]) -> str:
    return f'round{"s" * (len(numbers) > 1)} {number_ranges(numbers)}'
