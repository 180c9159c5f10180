"""The files of RUN-stability: each holds one measurement of weights of the run, with a checksum.

A file has the fields of an item, that is what was measured, and of its result, which are data classes, and the origin:
what identifies the weights that were measured, such as the checksum of their file. To add a kind of measurements, make
a `MeasurementFiles` with the pydantic model of its files.
"""
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from lth.errors import LthError
from lth.experiments import folders
from lth.runs.checked_json import encode_checked, read_checked
from lth.runs.stored import Stored, validate_stored
from lth.system import files

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Item = TypeVar('Item', bound='DataclassInstance')
Result = TypeVar('Result', bound='DataclassInstance')
_Data = TypeVar('_Data', bound='DataclassInstance')
_ADVICE = 'Restore it from a copy, or move it away and repeat the command to measure it again.'
_MOST_BYTES = 2 ** 20


class Measured(NamedTuple, Generic[Item, Result]):
    """A measurement that was read."""

    item: Item
    origin: object
    result: Result


@dataclass(frozen=True)
class MeasurementFiles(Generic[Item, Result]):
    """The files of one kind of measurements, whose content is validated by a model. `origin` is its field with the
    origin, and `origin_noun` says what another origin would be. `pattern` matches the names of the files, and `name` is
    that of the file of an item.
    """

    content: type[Stored]
    item: type[Item]
    result: type[Result]
    origin: str
    origin_noun: str
    pattern: str
    name: Callable[[Item], str]

    def path(self, run: Path, item: Item) -> Path:
        """The file of an item, in RUN-stability."""

        return folders.sibling_folder(run, 'stability') / self.name(item)

    def write(self, run: Path, item: Item, origin: object, result: Result) -> None:
        """Save the result of an item."""

        file = self.path(run, item)
        files.create_folder(file.parent)
        files.write(file, encode_checked({self.origin: origin, **asdict(item), **asdict(result)}))

    def read(self, run: Path, item: Item, origin: object) -> Result:
        """The saved result of an item. LthError if the file was changed, or if it was measured on another origin."""

        file = self.path(run, item)
        found = self._read(file)
        if found.origin != origin:
            raise LthError(f'{file} was measured on {self.origin_noun} now in the run. Move the file away and repeat '
                           'the command to measure it again.')
        if found.item != item:
            raise LthError(f'{file} is not the file of this measurement: it holds {found.item}. {_ADVICE}')
        return found.result

    def read_all(self, run: Path) -> Sequence[Measured[Item, Result]]:
        """All saved measurements of a run, in any order. LthError if one of the files was changed."""

        return list(map(self._read, folders.sibling_folder(run, 'stability').glob(self.pattern)))

    def check(self, file: Path) -> None:
        """LthError if the file of a measurement was changed."""

        self._read(file)

    def _read(self, file: Path) -> Measured[Item, Result]:
        raw = read_checked(file, at_most=_MOST_BYTES, advice=_ADVICE)
        stored = validate_stored(self.content, raw, str(file), _ADVICE)
        return Measured(_part(stored, self.item), getattr(stored, self.origin), _part(stored, self.result))


def _part(stored: Stored, kind: type[_Data]) -> _Data:
    """The data class of the fields of a file that it has."""

    return kind(**{field.name: getattr(stored, field.name) for field in fields(kind)})
