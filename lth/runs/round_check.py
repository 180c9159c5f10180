"""Check a stored round without its network: checksums, the record, and what the files say about their place."""
from pathlib import Path

from lth.errors import LthError
from lth.runs import integrity
from lth.runs.integrity import CheckedFolder
from lth.runs.round_record import RoundFacts, read_record
from lth.runs.round_tensors import read_tensor_file
from lth.system.memory import total_memory

_FILES_OF_FORMAT_1 = ('mask', 'ticket', 'trained')


def check_round(folder: Path, *, seed: int, number: int, advice: str) -> str | None:
    """Read every file of a round. The digest of its recipe, None in a round of format 1. LthError, which ends with the
    advice, if a file was changed, or is of another seed or round.
    """

    checked = integrity.open_folder(folder, advice)
    if checked.sums is None:
        for name in _FILES_OF_FORMAT_1:
            _check_place(checked, f'{name}.safetensors', read_tensor_file(checked, name, at_most=total_memory())[0],
                         seed=seed, number=number)
        return None
    record = read_record(checked)
    _check_place(checked, 'round.json', record, seed=seed, number=number)
    for name in checked.sums:
        checked.read(name, at_most=total_memory())
    return record.recipe


def _check_place(checked: CheckedFolder, name: str, facts: RoundFacts, *, seed: int, number: int) -> None:
    if (facts.seed, facts.round) != (seed, number):
        raise LthError(f'{checked.folder / name} is not the file that belongs there: it is of seed {facts.seed}, round '
                       f'{facts.round}. {checked.advice}')
