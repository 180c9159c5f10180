"""The content of the files of one round of one seed.

    mask.safetensors   ticket.safetensors   trained.safetensors   metrics.jsonl   round.json   SHA256SUMS
    scores.safetensors   optimizer.safetensors: where scores were trained
    ever-active.safetensors   optimizer.safetensors   events.jsonl: where the mask moved within the training

A new fact about a round is a field of RoundFacts that is set in `_facts`.
"""
import json
from collections.abc import Sequence

from torch import Tensor

from lth.models.flat_parameters import Layout
from lth.models.network import Network, replicate_buffers
from lth.pruning.effective_sparsity import ConnectedTotals, connected_totals
from lth.pruning.tickets import MovingState, Round, SearchState, Ticket
from lth.runs import events_file, integrity, metrics_file
from lth.runs.average_records import CopiesRecord, PoolRecord
from lth.runs.events_file import EVENTS, EventLine, MovesRecord
from lth.runs.metrics_file import METRICS, MetricsLine
from lth.runs.round_identity import RoundIdentity
from lth.runs.round_record import RECORD, Connected, EarlyBirdRecord, LayerRecord, RoundFacts, RoundRecord
from lth.runs.unpruned import UnprunedRecord
from lth.system import tensor_files
from lth.training.state import EVENT_COLUMNS


def encode_round(
        identity: RoundIdentity, round_: Round, replicate: int, nonzero_pixels: Tensor | None) -> dict[str, bytes]:
    """The content of each file by its name, for one replicate of the round. `nonzero_pixels` as in Run."""

    layout, ticket, trained = identity.network.layout, round_.ticket, round_.trained
    connected = connected_totals(identity.network, ticket.mask[replicate], nonzero_pixels)
    search = _search_tensors(identity, round_.search, replicate) | _moving_tensors(identity, round_.moving, replicate)
    facts = _facts(identity, round_, replicate, connected, list(search))
    tensors = {
        'mask': layout.unpack(ticket.mask[replicate]),
        'ticket': layout.unpack(ticket.weights[replicate]) | replicate_buffers(ticket.buffers, replicate),
        'trained': layout.unpack(trained.weights[replicate]) | replicate_buffers(trained.buffers, replicate),
        **search}
    contents = {f'{name}.safetensors': tensor_files.encode(named, facts.dump() | {'holds': name})
                for name, named in tensors.items()}
    lines = metrics_file.lines(
        trained.history, replicate, seed=identity.seed, number=identity.number, density=facts.density)
    events = _event_lines(round_.moving, replicate) if round_.moving else []
    record = make_record(facts, lines, _moves(identity, round_.moving, replicate, events)).model_copy(update={
        'layers': layer_records(identity.network, ticket.mask[replicate]),
        'unpruned': unpruned_records(identity.network.layout),
        'steps': _trained_steps(round_),
        'early_bird': _watched(round_)})
    if round_.moving:
        contents[EVENTS] = events_file.encode(events)
    contents |= {METRICS: metrics_file.encode(lines), RECORD: _encode_record(record)}
    return integrity.with_sums(contents, unknown=['ticket.safetensors'] if round_.start_unknown else [])


def make_record(facts: RoundFacts, lines: Sequence[MetricsLine], moves: MovesRecord | None = None) -> RoundRecord:
    """The record of a round with these facts, measurements and events, without its layers."""

    return RoundRecord(**facts.dump(), last=lines[-1], early_stop=metrics_file.early_stop(lines), moves=moves)


def layer_records(network: Network, mask: Tensor) -> list[LayerRecord]:
    """The convolutions and dense layers of a network under a mask (P,), in the order of the layout."""

    kept = {name: int(part.sum()) for name, part in network.layout.unpack(mask).items()}
    return [LayerRecord(name=slot.name, weights=slot.size, kept=kept.get(slot.name, slot.size),
                        uses=network.weight_uses[slot.name])
            for slot in network.layout.slots if slot.kind != 'other']


def unpruned_records(layout: Layout) -> list[UnprunedRecord]:
    """The matrices of a network that are not weights of convolutions or dense layers."""

    return [UnprunedRecord(name=slot.name, weights=slot.size)
            for slot in layout.slots if slot.kind == 'other' and len(slot.shape) > 1]


def _encode_record(record: RoundRecord) -> bytes:
    return json.dumps(record.dump(), sort_keys=True, indent=2, allow_nan=False).encode()


def _trained_steps(round_: Round) -> int:
    """The steps that a round trained; all copies of a soup start at the iteration of the ticket."""

    history = round_.trained.history
    more = len(round_.copies[0].test) - 1 if round_.copies else 0
    end = history[-1].iteration
    return end - history[0].iteration + more * (end - round_.ticket.iteration)


def _watched(round_: Round) -> EarlyBirdRecord | None:
    if round_.watched is None:
        return None
    return EarlyBirdRecord(kept=list(round_.watched.kept), chance=list(round_.watched.chance))


def _facts(
        identity: RoundIdentity, round_: Round, replicate: int, connected: ConnectedTotals | None,
        search_files: list[str]) -> RoundFacts:
    """The facts about one replicate of a round; all files of the round have them."""

    kept, trained, search = int(round_.ticket.mask[replicate].sum()), round_.trained, round_.search
    facts = identity.facts() | {
        'iteration': round_.ticket.iteration, 'kept': kept, 'density': identity.network.layout.density(kept),
        'search': search_files, 'connected': Connected.of(connected) if connected else None,
        'engine': trained.engine, 'measurements': len(trained.history),
        'ticket': _stored_ticket(round_.ticket, replicate).fingerprints()[0],
        'test_accuracy': trained.history[-1].test.accuracy[replicate]}
    if search:
        facts |= _search_facts(search, replicate)
    if round_.sources:
        facts['source'] = round_.sources[replicate]
    if round_.copies:
        facts['copies'] = CopiesRecord.of(round_.copies[replicate])
    if round_.pool:
        facts['pool'] = PoolRecord.of(round_.pool[replicate])
    return RoundFacts(**facts)


def _search_facts(search: SearchState, replicate: int) -> dict[str, object]:
    """What the training of scores left besides the scores, as far as its algorithm has it."""

    parts = {'drawn_test_accuracy': search.sampled_accuracy, 'penalty': search.penalties, 'selected': search.selected}
    return {name: values[replicate] for name, values in parts.items() if values}


def _stored_ticket(ticket: Ticket, replicate: int) -> Ticket:
    """The ticket of one replicate, R = 1, with its buffers in the order in which they are read."""

    buffers = {name: ticket.buffers[name][replicate][None] for name in sorted(ticket.buffers)}
    return Ticket(ticket.mask[replicate][None], ticket.weights[replicate][None], buffers, ticket.iteration)


def _search_tensors(
        identity: RoundIdentity, search: SearchState | None, replicate: int) -> dict[str, dict[str, Tensor]]:
    """The tensors of the files that only a search has: scores by parameter, and the optimizer's vectors (P,) with its
    step count if it has one.
    """

    if search is None:
        return {}
    return {'scores': identity.network.layout.unpack(search.scores[replicate]),
            **_optimizer_tensors(search.optimizer, replicate)}


def _moving_tensors(
        identity: RoundIdentity, moving: MovingState | None, replicate: int) -> dict[str, dict[str, Tensor]]:
    """The tensors of the files that only a training whose mask moves has: the weights that were ever active, and the
    optimizer's vectors (N,) with its step count if it has one.
    """

    if moving is None:
        return {}
    return {'ever-active': identity.network.layout.unpack(moving.ever[replicate]),
            **_optimizer_tensors(moving.optimizer, replicate)}


def _optimizer_tensors(optimizer: dict[str, Tensor], replicate: int) -> dict[str, dict[str, Tensor]]:
    if not optimizer:
        return {}
    return {'optimizer': {name: _vector(name, tensor, replicate) for name, tensor in optimizer.items()}}


def _moves(
        identity: RoundIdentity, moving: MovingState | None, replicate: int, events: Sequence[EventLine],
) -> MovesRecord | None:
    if moving is None:
        return None
    return events_file.summary(events, identity.network.layout.density(int(moving.ever[replicate].sum())))


def _event_lines(moving: MovingState, replicate: int) -> list[EventLine]:
    return [EventLine(**dict(zip(EVENT_COLUMNS, row, strict=True))) for row in moving.events[replicate].tolist()]


def _vector(name: str, tensor: Tensor, replicate: int) -> Tensor:
    """One replicate of an entry of the optimizer state; the step count is the same for all."""

    return tensor if name == 'step' else tensor[replicate]
