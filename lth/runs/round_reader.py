"""The files of one round of one seed, read and checked against their checksums, the run and each other.

Version 0.1.0 wrote rounds of format 1, which have no checksums and no round.json.
"""
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from lth.errors import LthError, quote
from lth.models.network import Buffers
from lth.pruning.tickets import MovingState, Round, SearchState, Ticket, WatchedMasks
from lth.runs import integrity, metrics_file
from lth.runs.events_file import EVENTS, EventLine
from lth.runs.metrics_file import METRICS, MetricsLine
from lth.runs.removed_state import RemovedState, UnknownTicket
from lth.runs.round_encoding import make_record
from lth.runs.round_identity import RoundIdentity
from lth.runs.round_record import RECORD, RoundFacts, RoundRecord, TensorHeader, read_events, read_record
from lth.runs.round_tensors import header_difference, read_tensor_file
from lth.runs.tensor_checks import check_tensors, check_values, expected_tensors
from lth.system import tensor_files
from lth.training.engines.names import current_engine_name
from lth.training.state import EVENT_COLUMNS, State

# An optimizer has at most three vectors (P,) of 8 bytes a number, and one step count for each parameter.
_MOST_OPTIMIZER_TENSORS = 4
_BYTES_OF_NUMBER = 8
_TENSOR_FILES = ('mask', 'ticket', 'trained')
_File = tuple[TensorHeader, dict[str, Tensor]]


class RoundReader:
    """Reads each file of a round once, when it is needed. LthError if it was changed, is of another round, or does not
    fit the network or the other files; also if the option --keep removed it.
    """

    def __init__(self, identity: RoundIdentity) -> None:
        self._identity = identity
        self._network = identity.network
        self._folder = integrity.open_folder(identity.folder, identity.advice)

    @property
    def has_sums(self) -> bool:
        """Whether the round has checksums. If not, version 0.1.0 wrote it."""

        return self._folder.sums is not None

    @cached_property
    def record(self) -> RoundRecord:
        """The facts about the round and its main results. Only in a round of format 1 this reads a tensor file."""

        if self.has_sums:
            record = read_record(self._folder)
            self._identity.check(self._identity.folder / RECORD, record)
            self._identity.check_iterations(self._identity.folder / RECORD, record.iteration, record.last.iteration)
            self._check_names(record)
            return record
        return make_record(self._trained_of_format_1[0].facts(), self.metrics)

    @cached_property
    def metrics(self) -> list[MetricsLine]:
        """The measurements."""

        facts: RoundFacts = self.record if self.has_sums else self._trained_of_format_1[0]
        content = self._folder.read(METRICS, at_most=facts.measurements * metrics_file.MOST_BYTES_OF_LINE)
        path = self._identity.folder / METRICS
        lines = metrics_file.parse(content, path, self._identity.advice, count=facts.measurements)
        self._check_lines(lines)
        self._identity.check_iterations(path, facts.iteration, lines[-1].iteration)
        return lines

    @cached_property
    def events(self) -> list[EventLine]:
        """The events of a round whose mask moved."""

        return read_events(self._folder, self.record)

    def load_mask(self) -> Tensor:
        """The mask: (1, P)."""

        recorded = self.record.kept
        mask = self._network.layout.pack(self._tensors('mask'))[None]
        kept = int(mask.sum())
        if kept != recorded:
            raise self._misfit('mask.safetensors', f'it keeps {kept} weights, {recorded} are recorded')
        return mask

    def load_ticket(self) -> Ticket:
        """The ticket, R = 1."""

        mask, (weights, buffers) = self.load_mask(), self._state('ticket')
        return Ticket(mask, weights, buffers, self.record.iteration)

    def load(self) -> Round:
        """The round, R = 1. If --keep removed its trained weights, or if an imported run did not have its ticket,
        reading these is the LthError that says so.
        """

        ticket, record = self._known_ticket(), self.record
        history = tuple(line.measurement() for line in self.metrics)
        engine = current_engine_name(record.engine)
        if removed := self._folder.removal_error('trained.safetensors'):
            return self._round(ticket, RemovedState(removed, history, engine))
        weights, buffers = self._state('trained')
        self._check_pruned(ticket, weights)
        state = State(weights, buffers, history[-1].iteration, history=history, engine=engine)
        return replace(self._round(ticket, state), search=self._search_state(),
                       moving=self._moving_state(state))

    def _known_ticket(self) -> Ticket:
        """The ticket, as far as it is known."""

        unknown = self._folder.removal_error('ticket.safetensors')
        if unknown and self._folder.removed['ticket.safetensors'].keep == integrity.UNKNOWN:
            return UnknownTicket(unknown, self.load_mask(), self.record.iteration)
        return self.load_ticket()

    def _check_pruned(self, ticket: Ticket, weights: Tensor) -> None:
        """LthError unless pruned weights have the values of the ticket; 0 if these are unknown."""

        pruned, prunable = ~ticket.mask, self._network.layout.prunable_count
        values = weights[:, :prunable][pruned]
        expected = values.new_zeros(()).expand_as(values) if isinstance(ticket, UnknownTicket) else (
            ticket.weights[:, :prunable][pruned])
        if not torch.equal(expected, values):
            raise self._misfit('trained.safetensors', 'its pruned weights are not those in ticket.safetensors')

    def _round(self, ticket: Ticket, trained: State) -> Round:
        """The round with what its record has besides tensors."""

        record, early = self.record, self.record.early_bird
        return Round(
            self._identity.number, ticket, trained, sources=(record.source,) if record.source else (),
            copies=(record.copies.accuracies(),) if record.copies else (),
            pool=(record.pool.members(),) if record.pool else (), start_unknown=isinstance(ticket, UnknownTicket),
            watched=WatchedMasks(tuple(early.kept), tuple(early.chance)) if early else None)

    def check(self) -> None:
        """Read every file that the round still has."""

        removal = self._folder.removed.get('ticket.safetensors')
        if removal and removal.keep != integrity.UNKNOWN:
            self.load_mask()
        else:
            self.load()
        _ = self.metrics, self.record.moves and self.events

    def _check_names(self, record: RoundRecord) -> None:
        """LthError unless the round has, or had before --keep removed some, the files that the record says."""

        expected = {METRICS, RECORD, *(f'{name}.safetensors' for name in (*_TENSOR_FILES, *record.search))}
        expected |= {EVENTS} if record.moves else set()
        listed = {*(self._folder.sums or ()), *self._folder.removed}
        if wrong := expected ^ listed:
            name = min(wrong)
            problem = 'is missing' if name in expected else 'does not belong there'
            raise LthError(f'{self._identity.folder / name} {problem}, according to {RECORD} next to it. '
                           f'{self._identity.advice}')

    def _check_lines(self, lines: list[MetricsLine]) -> None:
        """LthError unless the measurements are those of the record. Files of format 1 record only one of them."""

        if not self.has_sums:
            if lines[-1].test_accuracy != self._trained_of_format_1[0].test_accuracy:
                raise self._misfit(METRICS, 'its last test accuracy is not that in trained.safetensors')
            return
        record = self.record
        expected = (record.last, record.early_stop, record.test_accuracy)
        if (lines[-1], metrics_file.early_stop(lines), lines[-1].test_accuracy) != expected:
            raise self._misfit(METRICS, f'its results are not those in {RECORD}')
        columns = {(line.seed, line.round, line.density) for line in lines}
        if columns != {(record.seed, record.round, record.density)} or lines[-1].iteration < record.iteration:
            raise self._misfit(METRICS, f'its seed, round, density or iterations are not those in {RECORD}')

    @cached_property
    def _trained_of_format_1(self) -> _File:
        """The file with the facts about a round of format 1."""

        return self._read_expected('trained')

    def _tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of a file that must fit the network and the other files."""

        is_read = name == 'trained' and not self.has_sums
        header, tensors = self._trained_of_format_1 if is_read else self._read_expected(name)
        self._check_header(name, header)
        return tensors

    def _read_expected(self, name: str) -> _File:
        """Header and tensors of a file that must fit the network."""

        expected = expected_tensors(self._network, name)
        header, tensors = self._read(name, expected_size=sum(tensor.size for tensor in expected.values()))
        path = self._identity.folder / f'{name}.safetensors'
        check_tensors(path, tensors, expected, self._identity.advice)
        return header, tensors

    def _read(self, name: str, *, expected_size: int) -> _File:
        """Header and tensors of a file that has the right facts about the run."""

        at_most = expected_size + tensor_files.MOST_BYTES_OF_HEADER
        header, tensors = read_tensor_file(self._folder, name, at_most=at_most)
        self._identity.check(self._identity.folder / f'{name}.safetensors', header)
        return header, tensors

    def _check_header(self, name: str, header: TensorHeader) -> None:
        """LthError unless the header has the facts of the other files."""

        if difference := header_difference(header, self.record):
            raise self._misfit(f'{name}.safetensors', difference)

    def _state(self, name: str) -> tuple[Tensor, Buffers]:
        """A state dict as a vector (1, N) and buffers (1, ...)."""

        tensors, layout = self._tensors(name), self._network.layout
        parameters = {slot.name for slot in layout.slots}
        buffers = {name: tensor[None] for name, tensor in tensors.items() if name not in parameters}
        return layout.pack(tensors)[None], buffers

    def _search_state(self) -> SearchState | None:
        """The scores and the optimizer state of a round that has them."""

        record = self.record
        if 'scores' not in record.search:
            return None
        scores, count = self._network.layout.pack(self._tensors('scores'))[None], self._network.layout.prunable_count
        optimizer = self._optimizer(scores.dtype, count) if 'optimizer' in record.search else {}
        drawn = () if record.drawn_test_accuracy is None else (record.drawn_test_accuracy,)
        penalties = () if record.penalty is None else (record.penalty,)
        selected = () if record.selected is None else (record.selected,)
        return SearchState(scores, optimizer, drawn, penalties, selected)

    def _moving_state(self, state: State) -> MovingState | None:
        """How the mask moved, and the optimizer state, of a round whose mask moved."""

        record = self.record
        if record.moves is None:
            return None
        ever = self._network.layout.pack(self._tensors('ever-active'))[None]
        if self._network.layout.density(int(ever.sum())) != record.moves.ever_active:
            raise self._misfit('ever-active.safetensors', f'{int(ever.sum())} weights were ever active in it')
        rows = [[getattr(event, name) for name in EVENT_COLUMNS] for event in self.events]
        events = torch.tensor(rows, dtype=torch.int64).view(1, len(rows), len(EVENT_COLUMNS))
        has_optimizer = 'optimizer' in record.search
        optimizer = self._optimizer(state.weights.dtype, self._network.layout.size) if has_optimizer else {}
        return MovingState(ever, events, optimizer)

    def _optimizer(self, dtype: torch.dtype, count: int) -> dict[str, Tensor]:
        """The optimizer's vectors (1, count) of this type, and its step counts if it has them."""

        parameters = len(self._network.layout.slots)
        size = (_MOST_OPTIMIZER_TENSORS * count + parameters) * _BYTES_OF_NUMBER
        header, tensors = self._read('optimizer', expected_size=size)
        self._check_header('optimizer', header)
        path = self._identity.folder / 'optimizer.safetensors'
        for name, tensor in tensors.items():
            is_step = name == 'step' and tensor.dim() <= 1 and tensor.dtype == torch.float32
            if not is_step and (tensor.dtype != dtype or tensor.shape != (count,)):
                raise self._misfit(path.name, f'{quote(name)} is not a tensor of an optimizer of these numbers')
            check_values(path, name, tensor, self._identity.advice)
        return {name: tensor if name == 'step' else tensor[None] for name, tensor in tensors.items()}

    def _misfit(self, name: str, problem: str) -> LthError:
        return LthError(f'{self._identity.folder / name} does not belong to the other files of its round: {problem}. '
                        f'{self._identity.advice}')
