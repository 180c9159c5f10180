"""The state of a seed as bytes, for a machine with another file system: its completed rounds and its latest checkpoint.

Files are compared with their checksums when they are packed, when they arrive, and whenever they are read later.
"""
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from lth.errors import LthError, quote
from lth.runs import checkpoint_files, integrity, seed_folders
from lth.runs.checkpoints import newest_checkpoint
from lth.runs.integrity import CheckedContents
from lth.runs.round_record import read_record
from lth.system import files
from lth.system.memory import total_memory
from lth.system.reading import read_bytes

_NAME = re.compile(r'seed-(0|[1-9]\d{0,17})/(?:round-(\d{2,6})|checkpoint/round-(\d{2,6})-step-(\d{7,15}))', re.ASCII)
_ADVICE = 'A worker of another machine sent it, and it was not saved. Run the same command again to train it again.'


class PackedFolder(NamedTuple):
    """A folder of a run: its path in the run, such as 'seed-0/round-03', and the content of each of its files."""

    name: str
    files: dict[str, bytes]

    @property
    def size(self) -> int:
        """Number of bytes of its files."""

        return sum(map(len, self.files.values()))


class RunFacts(NamedTuple):
    """What received folders must belong to: a run in this folder whose recipe has this digest, and these seeds."""

    folder: Path
    digest: str
    seeds: Collection[int]


def pack_seed(run: Path, seed: int) -> Iterator[PackedFolder]:
    """The completed rounds of a seed, then the latest checkpoint of the next round, if there is one. LthError if one of
    their files was changed.
    """

    count = seed_folders.round_count(run, seed)
    for number in range(count):
        yield pack(run, seed_folders.round_folder(run, seed, number))
    if checkpoint := newest_checkpoint(seed_folders.checkpoint_folder(run, seed), count):
        yield pack(run, checkpoint.path)


def pack_rounds(run: Path, seed: int, numbers: Collection[int]) -> Iterator[PackedFolder]:
    """The rounds of a seed up to the last of these numbers. Other rounds between them have no files."""

    for number in range(max(numbers) + 1):
        folder = seed_folders.round_folder(run, seed, number)
        yield pack(run, folder) if number in numbers else PackedFolder(_name(run, folder), {})


def pack(run: Path, folder: Path) -> PackedFolder:
    """A round or checkpoint of a run. LthError if one of its files was changed."""

    advice = integrity.repair_advice(run)
    checked = integrity.open_folder(folder, advice)
    if checked.sums is None:  # of version 0.1.0
        names, sums = sorted(path.name for path in folder.iterdir() if path.is_file()), {}
    else:
        names, sums = list(checked.sums), {integrity.SUMS: read_bytes(
            folder / integrity.SUMS, at_most=total_memory(), advice=advice)}
    return PackedFolder(_name(run, folder), {name: checked.read(name, at_most=total_memory()) for name in names} | sums)


def unpack(run: Path, packed: PackedFolder) -> None:
    """Write a packed folder to a temporary copy of its run."""

    folder = run / packed.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in packed.files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise files.write_error(folder, error) from None


def save_received(run: RunFacts, packed: PackedFolder) -> None:
    """Save a round or a checkpoint that a worker sent, atomically, in the folder of the run; this process holds the
    locks of its seeds. A round replaces the checkpoints of its seed. LthError, and nothing is written, if the checksums
    differ, or unless it belongs to the next round of one of the seeds.
    """

    match = _NAME.fullmatch(packed.name)
    if match is None or int(match[1]) not in run.seeds:
        raise LthError(f'{quote(packed.name)} is not a folder of {run.folder} that was asked for. {_ADVICE}')
    seed, folder = int(match[1]), run.folder / packed.name
    checked = integrity.check_contents(folder, packed.files, _ADVICE)
    number, next_number = int(match[2] or match[3]), seed_folders.round_count(run.folder, seed)
    if match[2] and number < next_number:
        _refuse_difference(folder, packed)
    elif number != next_number:
        raise LthError(f'{folder} belongs to round {number} of seed {seed}, but round {next_number} is the next one. '
                       f'{_ADVICE}')
    elif match[2]:
        _check_record(run, checked, seed, number)
        files.write_folder(folder, packed.files)
        shutil.rmtree(seed_folders.checkpoint_folder(run.folder, seed), ignore_errors=True)
    else:
        checkpoint_files.replace_with(folder, packed.files)


def _check_record(run: RunFacts, checked: CheckedContents, seed: int, number: int) -> None:
    """LthError unless a round says that it is this one, of this recipe."""

    record = read_record(checked)
    if (record.seed, record.round, record.recipe) != (seed, number, run.digest):
        raise LthError(f'{checked.folder} is another round: it says seed {record.seed}, round {record.round} and '
                       f'recipe {quote(record.recipe)}, not {quote(run.digest)}. {_ADVICE}')


def _refuse_difference(folder: Path, packed: PackedFolder) -> None:
    """LthError unless the completed round in the folder is the same."""

    sums = read_bytes(folder / integrity.SUMS, at_most=total_memory())
    if sums != packed.files[integrity.SUMS]:
        raise LthError(f'{folder} exists already and differs from the round that was just trained. {_ADVICE}')


def _name(run: Path, folder: Path) -> str:
    return os.fspath(folder.relative_to(run))
