"""A tensor file of a round: header and tensors, which must fit its checksum, its name and the record of the round."""
from torch import Tensor

from lth.errors import LthError, quote
from lth.runs import integrity
from lth.runs.integrity import CheckedFolder
from lth.runs.round_record import RoundFacts, RoundRecord, TensorHeader
from lth.runs.stored import validate_stored
from lth.system import tensor_files


def read_tensor_file(folder: CheckedFolder, name: str, *, at_most: int) -> tuple[TensorHeader, dict[str, Tensor]]:
    """Header and tensors of NAME.safetensors in the folder of a round, of at most so many bytes. LthError if the file
    was changed, has another content than its name says, or lacks its checksum.
    """

    path = folder.folder / f'{name}.safetensors'
    content = folder.read(path.name, at_most=at_most)
    raw, tensors = tensor_files.decode(content, path, folder.advice)
    header = validate_stored(TensorHeader, raw, f'The header of {path}', folder.advice)
    if header.holds != name:
        raise LthError(f'{path} is not the file that belongs there: it holds {quote(header.holds)}. {folder.advice}')
    if (folder.sums is None) != (header.format == 1):
        raise LthError(f'{path} has format {header.format}, which does not fit the other files: only rounds of format '
                       f'1 have no {integrity.SUMS}. {folder.advice}')
    return header, tensors


def header_difference(header: TensorHeader, record: RoundRecord) -> str:
    """How the facts in the header of a file differ from the record of its round, for a message; '' if they do not."""

    expected = RoundFacts.dump(record)
    for key, value in header.facts().dump().items():
        if expected.get(key) != value:
            return f'its {key} is {quote(value)}, not {quote(expected.get(key))}'
    return ''
