"""The facts about a round of one seed: in round.json, with its main results, and in the header of each tensor file.

A new fact is a field of `RoundFacts` with a default, which files of earlier versions get.
"""
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import pydantic
from pydantic import AliasChoices, Field

from lth.runs.average_records import CopiesRecord, PoolRecord
from lth.runs.integrity import CheckedFolder
from lth.runs import events_file
from lth.runs.events_file import EVENTS, EventLine, MovesRecord
from lth.runs.metrics_file import MetricsLine
from lth.runs.stored import Count, Share, ShortText, Stored, validate_stored
from lth.runs.unpruned import UnprunedRecord
from lth.system import lazy_import
from lth.system.json_text import parse_json

# Lists of runs read records without importing torch.
if TYPE_CHECKING:
    from lth.pruning import effective_sparsity
else:
    effective_sparsity = lazy_import.module('lth.pruning.effective_sparsity')

RECORD = 'round.json'
FORMAT = 2
_MOST_BYTES = 2 ** 20


class Connected(Stored):
    """Connected inputs and units of a ticket, of all inputs and units."""

    inputs: Count
    of_inputs: Count
    units: Count
    of_units: Count

    @classmethod
    def of(cls, totals: 'effective_sparsity.ConnectedTotals') -> Self:
        """The entry for these totals."""

        return cls(inputs=totals.inputs, of_inputs=totals.total_inputs, units=totals.units, of_units=totals.total_units)

    def totals(self) -> 'effective_sparsity.ConnectedTotals':
        """The totals."""

        return effective_sparsity.ConnectedTotals(self.inputs, self.of_inputs, self.units, self.of_units)


class RoundFacts(Stored):
    """The facts about a round: the network (`model`, images of `shape` in `classes` classes), the numbers of weights,
    the iteration at which its training starts. `search` names the tensor files that only a search of scores or a
    training whose mask moves has, `recipe` is a digest of the recipe, `penalty` the factor λ with which scores were
    trained if the search adapted it, `selected` the number of weights that trained scores select without a given
    count, `source` the fingerprint of the ticket of another run from which the round was made, and `ticket` that of
    its own ticket, unknown in rounds of version 0.1.0.
    `copies` and `pool` are there if the trained weights are averages.
    """

    format: Literal[1, 2]
    recipe: ShortText | None = None
    model: dict[ShortText, Any]
    dataset: ShortText
    shape: Annotated[list[Annotated[int, Field(ge=1, le=2 ** 31)]], Field(min_length=3, max_length=3)]
    classes: Annotated[int, Field(ge=1, le=2 ** 31)]
    seed: Count
    round: Count
    iteration: Count
    kept: Count
    prunable: Count
    weights: Annotated[int, Field(ge=1, le=10 ** 12)]
    density: Share
    search: Annotated[list[Literal['scores', 'ever-active', 'optimizer']], Field(max_length=2)] = []
    connected: Connected | None = Field(None, validation_alias=AliasChoices('connected', 'carrying'))  # 0.1.0: carrying
    engine: ShortText = ''
    measurements: Annotated[int, Field(ge=1, le=10 ** 7)]
    test_accuracy: Share
    drawn_test_accuracy: Share | None = None
    penalty: Annotated[float, Field(ge=0, le=10 ** 12)] | None = None
    selected: Count | None = None
    source: ShortText | None = None
    ticket: ShortText | None = None
    copies: CopiesRecord | None = None
    pool: PoolRecord | None = None

    @pydantic.model_validator(mode='after')
    def _counts_fit(self) -> Self:
        if not self.kept <= self.prunable <= self.weights:
            raise ValueError('kept should be at most prunable, and prunable at most weights')
        if not isinstance(self.model.get('name'), str):
            raise ValueError('model should have a name')
        if self.format == FORMAT and not self.recipe:
            raise ValueError('recipe should be the digest of a recipe')
        if self.format == FORMAT and not self.ticket:
            raise ValueError('ticket should be the fingerprint of the ticket')
        return self

    @property
    def connected_totals(self) -> 'effective_sparsity.ConnectedTotals | None':
        """The connected inputs and units, None if they are unknown."""

        return self.connected.totals() if self.connected else None

    def dump(self) -> dict[str, Any]:
        """The facts in plain types, without those that are unknown."""

        entries = self.model_dump()
        for line in ('last', 'early_stop'):
            if line in entries and entries[line]['differing'] is None:
                del entries[line]['differing']
        optional = ('recipe', 'drawn_test_accuracy', 'penalty', 'selected', 'source', 'ticket', 'copies', 'pool',
                    'early_bird', 'moves')
        return {key: value for key, value in entries.items() if value is not None or key not in optional}


class TensorHeader(RoundFacts):
    """The header of a tensor file of a round; `holds` is the name of the file without its extension."""

    holds: ShortText

    def facts(self) -> RoundFacts:
        """The facts without the name of the file."""

        return RoundFacts(**self.model_dump(exclude={'holds'}))


class LayerRecord(Stored):
    """A convolution or dense layer: the name of its weights, their number, how many are kept, and how often each is
    multiplied for one image, None if that is unknown.
    """

    name: ShortText
    weights: Count
    kept: Count
    uses: Count | None

    @pydantic.model_validator(mode='after')
    def _counts_fit(self) -> Self:
        if self.kept > self.weights:
            raise ValueError('kept should be at most weights')
        return self


class EarlyBirdRecord(Stored):
    """The densities whose masks were watched, see WatchedMasks."""

    kept: Annotated[list[Count], Field(min_length=1, max_length=255)]
    chance: list[Annotated[float, Field(ge=0, le=10 ** 12)]]

    @pydantic.model_validator(mode='after')
    def _lists_fit(self) -> Self:
        if len(self.kept) != len(self.chance):
            raise ValueError('chance should have one number for each of kept')
        return self


class RoundRecord(RoundFacts):
    """The content of round.json: the facts, the last measurement, the one of least validation loss, the layers,
    matrices that are not pruned, how many steps the round trained, and how its mask moved, None if it did not. Rounds
    of versions that did not record them have no layers and None as steps. `early_bird` is there if masks were watched.
    """

    last: MetricsLine
    early_stop: MetricsLine
    layers: Annotated[list[LayerRecord], Field(max_length=100_000)] = []
    unpruned: Annotated[list[UnprunedRecord], Field(max_length=100_000)] = []
    steps: Count | None = None
    early_bird: EarlyBirdRecord | None = None
    moves: MovesRecord | None = None

    @pydantic.model_validator(mode='after')
    def _layers_fit(self) -> Self:
        if self.layers and sum(layer.weights for layer in self.layers) != self.weights:
            raise ValueError('layers should have as many weights as the network')
        return self

    @pydantic.model_validator(mode='after')
    def _moves_fit(self) -> Self:
        if (self.moves is not None) != ('ever-active' in self.search):
            raise ValueError('moves and the file ever-active should be recorded together')
        return self


def read_record(folder: CheckedFolder) -> RoundRecord:
    """The record of a round of format 2, without reading a tensor."""

    content = folder.read(RECORD, at_most=_MOST_BYTES)
    origin = str(folder.folder / RECORD)
    return validate_stored(RoundRecord, parse_json(content, origin, folder.advice), origin, folder.advice)


def read_events(folder: CheckedFolder, record: RoundRecord) -> list[EventLine]:
    """The events of a round with this record, [] if its mask did not move."""

    if record.moves is None:
        return []
    content = folder.read(EVENTS, at_most=record.moves.events * events_file.MOST_BYTES_OF_LINE)
    return events_file.parse(content, folder.folder / EVENTS, folder.advice, record.moves)
