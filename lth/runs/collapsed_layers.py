"""Which layers of stored tickets have no weights left (layer collapse), as a note: such a ticket trains at chance."""
from collections.abc import Iterable
from pathlib import Path

from lth.errors import number_ranges
from lth.pruning.layer_collapse import empty_words
from lth.runs.round_record import RoundRecord


def empty_layers(record: RoundRecord) -> list[str]:
    """The layers without weights that the network uses."""

    return [layer.name for layer in record.layers if not layer.kept and layer.uses != 0]


def collapse_note(folder: Path, records: Iterable[RoundRecord], *, new_output: str = '') -> str:
    """A sentence on the rounds of a run in which a layer that the network uses keeps no weight, '' if there are none.
    Layers whose names start with `new_output` do not count, as they are re-initialized, if it is given.
    """

    rounds, seeds, layers = set[int](), set[int](), dict[str, None]()
    for record in records:
        if empty := [name for name in empty_layers(record) if not (new_output and name.startswith(new_output))]:
            rounds.add(record.round)
            seeds.add(record.seed)
            layers |= dict.fromkeys(empty)
    if not layers:
        return ''
    leave = 'rounds {} leave' if len(rounds) > 1 else 'round {} leaves'
    return f'{folder}: {leave.format(number_ranges(sorted(rounds)))} {empty_words(list(layers), sorted(seeds))}'
