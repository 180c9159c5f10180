"""The files of one round of one seed: encoded, and checked against their folder and the network when they are read.

    mask.safetensors   ticket.safetensors   trained.safetensors   metrics.jsonl
    scores.safetensors   optimizer.safetensors: where scores were trained

A new fact about a round goes into `_header`, a fact that must agree with the folder also into `_check_header`.
"""
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lth.errors import LthError
from lth.models.network import Buffers, Network
from lth.pruning.effective_sparsity import ConnectedTotals, connected_totals
from lth.pruning.tickets import Round, SearchState, Ticket
from lth.runs import metrics_file
from lth.runs.metrics_file import Row
from lth.system import tensor_files
from lth.system.files import Raw
from lth.system.tensor_files import Header
from lth.training.engines.names import current_engine_name
from lth.training.task import State

_FORMAT = 1
_CONNECTED_KEYS = ('inputs', 'of_inputs', 'units', 'of_units')


@dataclass(frozen=True)
class RoundFiles:
    """The files in the folder `seed-S/round-NN` of a run with this recipe and network. `nonzero_pixels` as in Run."""

    folder: Path
    recipe: Raw
    network: Network
    seed: int
    number: int
    nonzero_pixels: Tensor | None = field(default=None, compare=False)

    def encode(self, round_: Round, replicate: int) -> dict[str, bytes]:
        """The content of each file by its name, for one replicate of the round."""

        layout, ticket, trained = self.network.layout, round_.ticket, round_.trained
        search = self._search_tensors(round_.search, replicate)
        header = self._header(round_, replicate, list(search))
        tensors = {
            'mask': layout.unpack(ticket.mask[replicate]),
            'ticket': layout.unpack(ticket.weights[replicate]) | _replicate(ticket.buffers, replicate),
            'trained': layout.unpack(trained.weights[replicate]) | _replicate(trained.buffers, replicate),
            **search}
        contents = {f'{name}.safetensors': tensor_files.encode(named, header | {'holds': name})
                    for name, named in tensors.items()}
        return contents | {'metrics.jsonl': metrics_file.encode(trained.history, replicate)}

    def load(self) -> Round:
        """The round, R = 1. LthError if a file does not fit its folder, the network or the other files."""

        header, mask = self._read('mask')
        weights, buffers = self._split(self._read('ticket')[1])
        trained, trained_buffers = self._split(self._read('trained')[1])
        history = tuple(map(metrics_file.measurement, self.metrics()))
        ticket = Ticket(self.network.layout.pack(mask)[None], weights, buffers, header['iteration'])
        self._check_consistency(header, ticket, trained)
        state = State(trained, trained_buffers, history[-1].iteration, history=history,
                      engine=current_engine_name(header.get('engine', '')))
        sources = (header['source'],) if 'source' in header else ()
        return Round(self.number, ticket, state, self._search_state(header), sources)

    def header(self) -> Header:
        """The header of trained.safetensors: the facts about the round, read without its tensors."""

        path = self.folder / 'trained.safetensors'
        return self._check_header(path, tensor_files.read_header(path))

    def metrics(self) -> list[Row]:
        """The measurements, one a row."""

        path = self.folder / 'metrics.jsonl'
        count = self.header()['measurements']
        try:
            return metrics_file.read(path, count=count)
        except (OSError, ValueError) as error:
            raise LthError(f'{path} is missing or corrupt ({error}). {self._remedy}') from None

    @property
    def _remedy(self) -> str:
        return (f'Restore it from a copy; or delete {self.folder} and all later rounds next to it, and repeat the '
                'command to train them again.')

    def _header(self, round_: Round, replicate: int, search_files: list[str]) -> Header:
        """The facts about one replicate of a round; all files of the round have them."""

        layout, mask, trained = self.network.layout, round_.ticket.mask[replicate], round_.trained
        kept = int(mask.sum())
        header: Header = {
            'format': _FORMAT, **self._network_facts(), 'seed': self.seed, 'round': self.number,
            'iteration': round_.ticket.iteration, 'kept': kept, 'prunable': layout.prunable_count,
            'weights': layout.weight_count, 'density': layout.density(kept), 'search': search_files,
            'connected': connected_entry(connected_totals(self.network, mask, self.nonzero_pixels)),
            'engine': trained.engine, 'measurements': len(trained.history),
            'test_accuracy': trained.history[-1].test.accuracy[replicate]}
        if round_.search and round_.search.sampled_accuracy:
            header['drawn_test_accuracy'] = round_.search.sampled_accuracy[replicate]
        if round_.sources:
            header['source'] = round_.sources[replicate]
        return header

    def _network_facts(self) -> Header:
        return {'model': self.recipe['model'], 'dataset': self.recipe['data']['name'],
                'shape': list(self.network.shape), 'classes': self.network.classes}

    def _check_header(self, path: Path, header: Header) -> Header:
        """Return the header. LthError if it belongs to another round, network or format."""

        expected = {'format': _FORMAT, 'holds': path.stem, 'seed': self.seed, 'round': self.number,
                    **self._network_facts()}
        actual = header
        if isinstance(header.get('model'), dict):
            # A file of an earlier version lacks the settings of the model that did not exist then.
            actual = header | {'model': self.recipe['model'] | header['model']}
        for key, value in expected.items():
            if actual.get(key) != value:
                raise LthError(f'{path} is not the file that belongs there: its {key} is {header.get(key)!r}, not '
                               f'{value!r}. Restore the right file.')
        return header

    def _check_consistency(self, header: Header, ticket: Ticket, trained: Tensor) -> None:
        """LthError unless the mask keeps as many weights as recorded and training left the pruned ones unchanged."""

        kept, pruned = int(ticket.mask.sum()), ~ticket.mask
        before, after = (vector[:, :self.network.layout.prunable_count][pruned] for vector in (ticket.weights, trained))
        if kept != header['kept'] or not torch.equal(before, after):
            raise LthError(f'The files in {self.folder} do not belong together: the mask keeps {kept} weights, '
                           f'{header["kept"]} are recorded, or pruned weights differ between ticket.safetensors and '
                           f'trained.safetensors. {self._remedy}')

    def _read(self, name: str) -> tuple[Header, dict[str, Tensor]]:
        """Header and tensors of a file that must fit its folder and the network."""

        path = self.folder / f'{name}.safetensors'
        header, tensors = tensor_files.read(path)
        self._check_shapes(path, tensors)
        if name == 'mask' and any(mask.dtype != torch.bool for mask in tensors.values()):
            raise LthError(f'{path} does not contain masks, which are bool tensors. {self._remedy}')
        return self._check_header(path, header), tensors

    def _check_shapes(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        """LthError that names the first tensor that is missing, unknown or of another shape than in the network."""

        layout = self.network.layout
        if path.stem in ('mask', 'scores'):
            expected = {slot.name: slot.shape for slot in layout.prunable_slots}
        else:
            buffers = {name: tuple(buffer.shape) for name, buffer in self.network.initial_buffers().items()}
            expected = {slot.name: slot.shape for slot in layout.slots} | buffers
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        for name in sorted(expected.keys() | shapes.keys()):
            if shapes.get(name) != expected.get(name):
                raise LthError(f'{path} does not fit {self.network.settings.name}: {name} is '
                               f'{shapes.get(name, "absent")} in the file and {expected.get(name, "absent")} in the '
                               'network. Restore the right file.')

    def _split(self, tensors: dict[str, Tensor]) -> tuple[Tensor, Buffers]:
        """A state dict as a vector (1, N) and buffers (1, ...)."""

        layout = self.network.layout
        parameters = {slot.name for slot in layout.slots}
        buffers = {name: tensor[None] for name, tensor in tensors.items() if name not in parameters}
        return layout.pack(tensors)[None], buffers

    def _search_tensors(self, search: SearchState | None, replicate: int) -> dict[str, dict[str, Tensor]]:
        """The tensors of the files that only a search has: scores by parameter, and the optimizer's vectors (P,) with
        its step count if it has one.
        """

        if search is None:
            return {}
        tensors = {'scores': self.network.layout.unpack(search.scores[replicate])}
        if search.optimizer:
            tensors['optimizer'] = {name: _vector(name, tensor, replicate) for name, tensor in search.optimizer.items()}
        return tensors

    def _search_state(self, header: Header) -> SearchState | None:
        """The scores and the optimizer state of a round that has them."""

        if not header.get('search'):
            return None
        scores = self.network.layout.pack(self._read('scores')[1])[None]
        optimizer = self._optimizer(scores) if 'optimizer' in header['search'] else {}
        drawn = (header['drawn_test_accuracy'],) if 'drawn_test_accuracy' in header else ()
        return SearchState(scores, optimizer, drawn)

    def _optimizer(self, scores: Tensor) -> dict[str, Tensor]:
        path = self.folder / 'optimizer.safetensors'
        header, tensors = tensor_files.read(path)
        self._check_header(path, header)
        vectors = {name: tensor[None] for name, tensor in tensors.items() if name != 'step'}
        if any(vector.shape != scores.shape for vector in vectors.values()):
            raise LthError(f'{path} does not fit the scores next to it. {self._remedy}')
        return {name: vectors.get(name, tensor) for name, tensor in tensors.items()}


def connected_totals_of(header: Header) -> ConnectedTotals | None:
    """The connected inputs and units that a round's header records, None if they are unknown."""

    entry = header.get('connected', header.get('carrying'))  # 'carrying' in files of version 0.1.0
    return ConnectedTotals(*(entry[key] for key in _CONNECTED_KEYS)) if entry else None


def connected_entry(totals: ConnectedTotals | None) -> dict[str, int] | None:
    """The totals in plain types, as the header of a round has them."""

    return dict(zip(_CONNECTED_KEYS, totals, strict=True)) if totals else None


def _replicate(buffers: Buffers, replicate: int) -> Buffers:
    """The buffers of one replicate: (R, ...) -> (...)."""

    return {name: buffer[replicate] for name, buffer in buffers.items()}


def _vector(name: str, tensor: Tensor, replicate: int) -> Tensor:
    """One replicate of an entry of the optimizer state; the step count is the same for all."""

    return tensor if name == 'step' else tensor[replicate]
