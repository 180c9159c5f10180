"""The files of RUN-stability: each holds one measurement of weights of the run, with a checksum.

A file has the fields of an item, that is what was measured, and of its result, which are data classes, and the origin:
what identifies the weights that were measured, such as the checksum of their file. To add a kind of measurements, make
a `MeasurementFiles` with the pydantic model of its files, and add it to the kinds that repair.py checks.
"""
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from lth.errors import LthError
from lth.experiments import folders
from lth.runs.checked_json import encode_checked, read_checked
from lth.runs.stored import Stored, validate_stored
from lth.runs.stored_run import StoredRun
from lth.system import files

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class MeasuredItem(Protocol):
    """What was measured: a data class whose fields are in the file."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def file_name(self) -> str:
        """The name of its file."""

    @property
    def measured_rounds(self) -> tuple[tuple[int, int], ...]:
        """Seed and number of each round whose weights were measured."""

    @property
    def order(self) -> tuple[int, ...]:
        """By what measurements are sorted. Of the same rounds, a finer measurement comes later."""


Item = TypeVar('Item', bound=MeasuredItem)
Result = TypeVar('Result', bound='DataclassInstance')
_Data = TypeVar('_Data', bound='DataclassInstance')
_ADVICE = 'Restore it from a copy, or move it away and repeat the command to measure it again.'
_MOST_BYTES = 2 ** 20


class _Measured(NamedTuple, Generic[Item, Result]):
    """A measurement that was read."""

    item: Item
    origin: object
    result: Result


@dataclass(frozen=True)
class MeasurementFiles(Generic[Item, Result]):
    """The files of one kind of measurements, whose names match `pattern` and whose content is validated by a model.

    `origin` is the field of the model with the origin, `origin_noun` says what another origin would be, and
    `origin_now` computes that of the weights that the run in a folder has now; None if the run did not record it.
    """

    content: type[Stored]
    item: type[Item]
    result: type[Result]
    pattern: str
    origin: str
    origin_noun: str
    origin_now: Callable[[Path, Item], object]

    def path(self, run: Path, item: Item) -> Path:
        """The file of an item, in RUN-stability."""

        return folders.sibling_folder(run, 'stability') / item.file_name

    def write(self, run: Path, item: Item, result: Result, origin: object = None) -> None:
        """Save the result of an item, and its origin, by default the present one."""

        file, origin = self.path(run, item), origin or self.origin_now(run, item)
        files.create_folder(file.parent)
        files.write(file, encode_checked({self.origin: origin, **asdict(item), **asdict(result)}))

    def read(self, run: Path, item: Item, origin: object = None) -> Result:
        """The saved result of an item. LthError if the file was changed, or if it was measured on another origin than
        this one, by default the present one.
        """

        file = self.path(run, item)
        found = self._read(file)
        if found.origin != (origin or self.origin_now(run, item)):
            raise LthError(f'{file} was measured on {self.origin_noun} now in the run. Move the file away and repeat '
                           'the command to measure it again.')
        if found.item != item:
            raise LthError(f'{file} is not the file of this measurement: it holds {found.item}. {_ADVICE}')
        return found.result

    def read_present(self, run: StoredRun, seeds: Collection[int]) -> list[tuple[Item, Result]]:
        """The saved measurements of these seeds, of the weights that the run has now, in order. LthError if one of the
        files was changed.
        """

        found = map(self._read, folders.sibling_folder(run.folder, 'stability').glob(self.pattern))
        present = [(one.item, one.result) for one in found if self._is_present(run, one, seeds)]
        return sorted(present, key=lambda entry: entry[0].order)

    def read_finest(self, run: StoredRun, seeds: Collection[int]) -> list[tuple[Item, Result]]:
        """As `read_present`, but of the measurements of the same rounds only the finest."""

        return list({item.measured_rounds: (item, result) for item, result in self.read_present(run, seeds)}.values())

    def check(self, file: Path) -> None:
        """LthError if the file of a measurement was changed."""

        self._read(file)

    def _is_present(self, run: StoredRun, one: _Measured[Item, Result], seeds: Collection[int]) -> bool:
        rounds = one.item.measured_rounds
        there = all(seed in seeds and number < run.round_count(seed) for seed, number in rounds)
        return there and self.origin_now(run.folder, one.item) in (one.origin, None)

    def _read(self, file: Path) -> _Measured[Item, Result]:
        raw = read_checked(file, at_most=_MOST_BYTES, advice=_ADVICE)
        stored = validate_stored(self.content, raw, str(file), _ADVICE)
        return _Measured(_part(stored, self.item), getattr(stored, self.origin), _part(stored, self.result))


def _part(stored: Stored, kind: type[_Data]) -> _Data:
    """The data class of the fields of a file that it has."""

    return kind(**{field.name: getattr(stored, field.name) for field in fields(kind)})
