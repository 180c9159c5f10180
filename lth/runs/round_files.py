"""The files of one round of one seed: written alone, and checked against their place and the network when read.

    mask.safetensors   ticket.safetensors   trained.safetensors   metrics.jsonl
    scores.safetensors   optimizer.safetensors: where scores were trained

A new fact about a round goes into `_header`; what every file must agree with its place on stands in `_checked`.
"""
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lth.errors import LthError
from lth.models.network import Buffers, Network
from lth.pruning.effective_sparsity import connected_totals
from lth.pruning.tickets import Round, SearchState, Ticket
from lth.system import tensor_files
from lth.system.files import Raw
from lth.system.tensor_files import Header
from lth.training.engines.names import current_engine_name
from lth.training.task import Measurement, Metrics, State

_FORMAT = 1
_SPLITS = ('train', 'validation', 'test')
_KEYS = {'iteration', 'early_stop', *(f'{split}_{what}' for split in _SPLITS for what in ('loss', 'accuracy'))}
_MEND = 'Restore it from a copy; or delete {} and all later rounds beside it, and the same command makes them again.'
_Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class RoundFiles:
    """The files of one round in its folder, `seed-S/round-NN` of a run of this recipe and network; `lit` as there."""

    folder: Path
    recipe: Raw
    network: Network
    seed: int
    number: int
    nonzero_pixels: Tensor | None = field(default=None, compare=False)

    def contents(self, found: Round, replicate: int) -> dict[str, bytes]:
        """The files by name, for one replicate of a round; metrics.jsonl marks the early stop."""

        layout, ticket, trained = self.network.layout, found.ticket, found.trained
        header = self._header(found, replicate)
        tensors = {
            'mask': layout.unpack(ticket.mask[replicate]),
            'ticket': layout.unpack(ticket.weights[replicate]) | _one(ticket.buffers, replicate),
            'trained': layout.unpack(trained.weights[replicate]) | _one(trained.buffers, replicate)}
        tensors |= self._search_files(found.search, replicate) if found.search else {}
        contents = {f'{name}.safetensors': tensor_files.encode(named, header | {'holds': name})
                    for name, named in tensors.items()}
        rows = [_row(measurement, replicate) for measurement in trained.history]
        stop = early_stop(rows)
        lines = [json.dumps(row | {'early_stop': row is stop}, allow_nan=False) for row in rows]
        return contents | {'metrics.jsonl': ('\n'.join(lines) + '\n').encode()}

    def load(self) -> Round:
        """The round, R = 1, every file checked against its place, the network and the others."""

        header, mask = self._checked('mask')
        states = [self._checked(name)[1] for name in ('ticket', 'trained')]
        (weights, buffers), (trained, trained_buffers) = (self._split(named) for named in states)
        history = tuple(_measurement(row) for row in self.metrics())
        ticket = Ticket(self.network.layout.pack(mask)[None], weights, buffers, header['iteration'])
        self._refuse_contradictions(header, ticket, trained)
        state = State(
            trained, trained_buffers, history[-1].iteration, history=history, engine=current_engine_name(header.get('engine', '')))
        return Round(self.number, ticket, state, self._search(header))

    def header(self) -> Header:
        """What the trained weights' file says of itself."""

        path = self.folder / 'trained.safetensors'
        return self._placed(path, tensor_files.read_header(path))

    def metrics(self) -> list[dict[str, Any]]:
        """The measurements, one a row."""

        path = self.folder / 'metrics.jsonl'
        try:
            rows = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
            whole = all(isinstance(row, dict) and row.keys() == _KEYS for row in rows)
            if not whole or len(rows) != self.header()['measurements']:
                raise ValueError('not the lines that were written')
        except (OSError, ValueError) as error:
            raise LthError(f'{path} is missing or torn ({error}). {_MEND.format(path.parent)}') from None
        return rows

    def _search_files(self, search: SearchState, replicate: int) -> dict[str, dict[str, Tensor]]:
        """Scores by parameter; the optimizer's vectors, and its count of steps if it has one."""

        vectors = {name: tensor if name == 'step' else tensor[replicate] for name, tensor in search.optimizer.items()}
        scores = {'scores': self.network.layout.unpack(search.scores[replicate])}
        return scores | ({'optimizer': vectors} if vectors else {})

    def _search(self, header: Header) -> SearchState | None:
        """The scores of a round that has some, as its header says."""

        if not header.get('search'):
            return None
        scores = self.network.layout.pack(self._checked('scores')[1])[None]
        drawn = (header['drawn_test_accuracy'],) if 'drawn_test_accuracy' in header else ()
        if 'optimizer' not in header['search']:
            return SearchState(scores, {}, drawn)
        path = self.folder / 'optimizer.safetensors'
        own, vectors = tensor_files.read(path)
        self._placed(path, own)
        if any(name != 'step' and vector.shape != scores.shape[1:] for name, vector in vectors.items()):
            raise LthError(f'{path} does not fit the scores beside it. {_MEND.format(self.folder)}')
        optimizer = {name: vector if name == 'step' else vector[None] for name, vector in vectors.items()}
        return SearchState(scores, optimizer, drawn)

    def _placed(self, path: Path, header: Header) -> Header:
        """The header, once it says what its place does."""

        facts = {'format': _FORMAT, 'holds': path.stem, 'seed': self.seed, 'round': self.number,
                 'model': self.recipe['model'], 'dataset': self.recipe['data']['name'],
                 'shape': list(self.network.shape), 'classes': self.network.classes}
        # A file of an earlier version may lack settings of the model that have come since, with their defaults.
        model = {**facts['model'], **header['model']} if isinstance(header.get('model'), dict) else None
        for key, value in facts.items():
            if {**header, 'model': model}.get(key) != value:
                raise LthError(f'{path} does not belong there: its {key} is {header.get(key)!r}, expected {value!r}. '
                               'Restore the right file.')
        return header

    def _refuse_contradictions(self, header: Header, ticket: Ticket, trained: Tensor) -> None:
        """The mask keeps what the header says, and training left alone what the mask prunes."""

        pruned = ~ticket.mask
        before, after = (vector[:, :self.network.layout.prunable_count][pruned] for vector in (ticket.weights, trained))
        if int(ticket.mask.sum()) != header['kept'] or not torch.equal(before, after):
            raise LthError(f'The files in {self.folder} do not belong together: the mask keeps '
                           f'{int(ticket.mask.sum())} weights, {header["kept"]} are recorded, or pruned weights differ '
                           'between ticket.safetensors and '
                           f'trained.safetensors. {_MEND.format(self.folder)}')

    def _header(self, found: Round, replicate: int) -> Header:
        layout = self.network.layout
        kept = int(found.ticket.mask[replicate].sum())
        carries = connected_totals(self.network, found.ticket.mask[replicate], self.nonzero_pixels)
        drawn, sources = found.search.drawn if found.search else (), found.sources
        return {'format': _FORMAT, 'model': self.recipe['model'], 'dataset': self.recipe['data']['name'],
                'shape': self.network.shape, 'classes': self.network.classes, 'seed': self.seed, 'round': self.number,
                'iteration': found.ticket.iteration, 'kept': kept, 'prunable': layout.prunable_count,
                'weights': layout.weight_count, 'density': layout.density(kept), 'search': _search_names(found.search),
                'carrying': carries and carries._asdict(), 'engine': found.trained.engine,
                'measurements': len(found.trained.history),
                'test_accuracy': found.trained.history[-1].test.accuracy[replicate],
                **({'drawn_test_accuracy': drawn[replicate]} if drawn else {}),
                **({'source': sources[replicate]} if sources else {})}

    def _checked(self, name: str) -> tuple[Header, dict[str, Tensor]]:
        """A file's header and tensors, once it is what its place says and fits the network."""

        path = self.folder / f'{name}.safetensors'
        header, tensors = tensor_files.read(path)
        self._refuse_misfits(path, tensors, self._shapes(name))
        if name == 'mask' and any(mask.dtype != torch.bool for mask in tensors.values()):
            raise LthError(f'{path} does not hold masks: they are tensors of bool. {_MEND.format(path.parent)}')
        return self._placed(path, header), tensors

    def _shapes(self, name: str) -> _Shapes:
        """The tensors that a file must hold."""

        layout = self.network.layout
        if name in ('mask', 'scores'):
            return {slot.name: slot.shape for slot in layout.prunable_slots}
        buffers = {key: tuple(buffer.shape) for key, buffer in self.network.initial_buffers().items()}
        return {slot.name: slot.shape for slot in layout.slots} | buffers

    def _refuse_misfits(self, path: Path, tensors: Mapping[str, Tensor], expected: _Shapes) -> None:
        for name in sorted(expected.keys() | tensors.keys()):
            shape = tuple(tensors[name].shape) if name in tensors else None
            if shape != expected.get(name):
                raise LthError(f'{path} does not fit {self.network.settings.name}: {name} is {shape or "absent"} '
                               f'there, {expected.get(name) or "absent"} in the network. Restore the right file.')

    def _split(self, named: dict[str, Tensor]) -> tuple[Tensor, Buffers]:
        """A plain state dict as vector (1, N) and buffers (1, ...)."""

        layout = self.network.layout
        names = {slot.name for slot in layout.slots}
        return layout.pack(named)[None], {name: tensor[None] for name, tensor in named.items() if name not in names}


def _search_names(search: SearchState | None) -> list[str]:
    """Which files of a search a round has."""

    return [] if search is None else ['scores', 'optimizer'] if search.optimizer else ['scores']


def early_stop(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first row of least validation loss, found afterwards (Frankle & Carbin 2019, section 2)."""

    return min(rows, key=lambda row: float(row['validation_loss']))


def _one(buffers: Buffers, replicate: int) -> Buffers:
    """The buffers of one replicate: (R, ...) -> (...)."""

    return {name: buffer[replicate] for name, buffer in buffers.items()}


def _row(measurement: Measurement, replicate: int) -> dict[str, Any]:
    """A measurement of one replicate as a line of metrics.jsonl."""

    row: dict[str, Any] = {'iteration': measurement.iteration}
    for name in _SPLITS:
        score: Metrics | None = getattr(measurement, name)
        row[f'{name}_loss'] = score.loss[replicate] if score else None
        row[f'{name}_accuracy'] = score.accuracy[replicate] if score else None
    return row


def _measurement(row: dict[str, Any]) -> Measurement:
    scores = {name: None if row[f'{name}_loss'] is None else Metrics((row[f'{name}_loss'],), (row[f'{name}_accuracy'],))
              for name in _SPLITS}
    return Measurement(iteration=row['iteration'], **scores)  # type: ignore[arg-type]
