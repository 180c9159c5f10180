"""The record of a round that version 0.1.0 wrote: its facts are in the header of a tensor file."""
from lth.runs import metrics_file
from lth.runs.integrity import CheckedFolder
from lth.runs.metrics_file import METRICS
from lth.runs.round_encoding import make_record
from lth.runs.round_record import RoundRecord
from lth.runs.round_tensors import read_tensor_file
from lth.system.memory import total_memory


def read_record(folder: CheckedFolder) -> RoundRecord:
    """The record of a round without checksums, from the header of trained.safetensors and metrics.jsonl."""

    header, _ = read_tensor_file(folder, 'trained', at_most=total_memory())
    facts = header.facts()
    content = folder.read(METRICS, at_most=facts.measurements * metrics_file.MOST_BYTES_OF_LINE)
    lines = metrics_file.parse(content, folder.folder / METRICS, folder.advice, count=facts.measurements)
    return make_record(facts, lines)
