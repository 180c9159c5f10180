"""The run folder: what was asked (recipe.yaml), where it ran (environment.json), and every whole round of every seed.

    seed-0/round-00/   mask.safetensors   ticket.safetensors   trained.safetensors   metrics.jsonl

A round exists if its folder has its final name. Seeds trained together are stored apart, so each folder is what it would be alone.
"""
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from lth import files, tensor_files
from lth.errors import LthError
from lth.network import Network
from lth.recipe import Raw, differences
from lth.task import Measurement, Score, State
from lth.tensor_files import Header
from lth.tickets import Round, Ticket

_FORMAT = 1
_FILES = ('mask', 'ticket', 'trained')


@dataclass(frozen=True)
class Run:
    """A folder of rounds of one recipe and one network."""

    folder: Path
    recipe: Raw
    network: Network

    def refuse_foreign(self) -> None:
        """An LthError if the folder holds a run of another recipe, or something that is no run."""

        if not self.folder.exists():
            return
        path = self.folder / 'recipe.yaml'
        if not path.exists():
            if any(not entry.name.startswith('.') for entry in self.folder.iterdir()):
                raise LthError(f'{self.folder} is not empty and is no run of lth: it has no recipe.yaml. Choose another folder with --run.')
            return
        rows = differences(files.read_yaml(path), self.recipe)
        if rows:
            raise LthError(f'{self.folder} holds a run of another recipe (there / here): {"; ".join(rows)}. Choose another folder with --run, '
                           'or ask for the settings it was begun with.')

    def seeds(self) -> list[int]:
        """The seeds with at least one whole round."""

        found = [re.fullmatch(r'seed-(\d+)', entry.name) for entry in self.folder.glob('seed-*')]
        return sorted(seed for seed in (int(match[1]) for match in found if match) if self.rounds(seed))

    def rounds(self, seed: int) -> int:
        """How many whole rounds a seed has, counted from round 0."""

        number = 0
        while self.round_folder(seed, number).is_dir():
            number += 1
        return number

    def round_folder(self, seed: int, number: int) -> Path:
        """Where a round of a seed lies."""

        return self.folder / f'seed-{seed}' / f'round-{number:02d}'

    def past(self, seeds: Sequence[int]) -> 'Past':
        """The rounds that all of these seeds have."""

        return Past(self, tuple(seeds), min(self.rounds(seed) for seed in seeds))

    def save(self, found: Round, seeds: Sequence[int]) -> None:
        """Puts a round of each seed in place; each is whole or absent whatever happens."""

        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / 'recipe.yaml').exists():
            files.write(self.folder / 'recipe.yaml', files.dumped_yaml(self.recipe).encode())
        for replicate, seed in enumerate(seeds):
            folder = self.round_folder(seed, found.number)
            if not folder.exists():
                files.write_folder(folder, self._contents(found, replicate, seed))

    def record(self, session: Raw, *, first: bool) -> None:
        """Adds a session to environment.json, or brings the last one up to date."""

        path = self.folder / 'environment.json'
        sessions = files.read_json(path) if path.exists() else []
        files.write(path, json.dumps([*(sessions if first else sessions[:-1]), session], indent=2).encode())

    def load(self, seed: int, number: int) -> Round:
        """One round of one seed, R = 1, every file checked against the network."""

        folder = self.round_folder(seed, number)
        header, mask = self._checked(folder / 'mask.safetensors', seed, number)
        states = [self._checked(folder / f'{name}.safetensors', seed, number)[1] for name in ('ticket', 'trained')]
        (weights, buffers), (trained, trained_buffers) = (self._split(named) for named in states)
        history = tuple(_measurement(row) for row in self.metrics(seed, number))
        ticket = Ticket(self.network.layout.pack(mask)[None], weights, buffers, header['iteration'])
        return Round(number, ticket, State(trained, trained_buffers, history[-1].iteration, history=history))

    def header(self, seed: int, number: int) -> Header:
        """What the trained weights' file says of itself."""

        return tensor_files.read_header(self.round_folder(seed, number) / 'trained.safetensors')

    def metrics(self, seed: int, number: int) -> list[dict[str, Any]]:
        """The measurements of a round, one a row."""

        path = self.round_folder(seed, number) / 'metrics.jsonl'
        try:
            rows = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
        except (OSError, ValueError) as error:
            raise LthError(f'{path} is missing or torn ({error}). Restore it, or delete {path.parent} and all later rounds beside it, and the '
                           'same command makes them again.') from None
        if not rows:
            raise LthError(f'{path} is empty. Delete {path.parent} and all later rounds beside it, and the same command makes them again.')
        return rows

    def _contents(self, found: Round, replicate: int, seed: int) -> dict[str, bytes]:
        """The files of one round of one seed."""

        layout, ticket, trained = self.network.layout, found.ticket, found.trained
        header = self._header(found, replicate, seed)
        tensors = {
            'mask': layout.unpack(ticket.mask[replicate]),
            'ticket': layout.unpack(ticket.weights[replicate]) | {name: buffer[replicate] for name, buffer in ticket.buffers.items()},
            'trained': layout.unpack(trained.weights[replicate]) | {name: buffer[replicate] for name, buffer in trained.buffers.items()}}
        contents = {f'{name}.safetensors': tensor_files.encoded(named, header | {'holds': name}) for name, named in tensors.items()}
        lines = [json.dumps(_row(measurement, replicate)) for measurement in trained.history]
        return contents | {'metrics.jsonl': ('\n'.join(lines) + '\n').encode()}

    def _header(self, found: Round, replicate: int, seed: int) -> Header:
        layout = self.network.layout
        kept = int(found.ticket.mask[replicate].sum())
        return {'format': _FORMAT, 'model': self.recipe['model'], 'dataset': self.recipe['data']['name'], 'shape': self.network.shape,
                'classes': self.network.classes, 'seed': seed, 'round': found.number, 'iteration': found.ticket.iteration, 'kept': kept,
                'prunable': layout.prunable, 'weights': layout.weights, 'density': layout.density(kept),
                'test_accuracy': found.trained.history[-1].test.accuracy[replicate]}

    def _checked(self, path: Path, seed: int, number: int) -> tuple[Header, dict[str, Tensor]]:
        """A file's header and tensors, once it is what its place says and fits the network."""

        header, tensors = tensor_files.read(path)
        facts = {'format': _FORMAT, 'holds': path.stem, 'seed': seed, 'round': number, 'model': self.recipe['model']}
        for key, value in facts.items():
            if header.get(key) != value:
                raise LthError(f'{path} does not belong there: its {key} is {header.get(key)!r}, expected {value!r}. Restore the right file.')
        layout = self.network.layout
        slots = layout.prunable_slots if path.stem == 'mask' else layout.slots
        buffers = {} if path.stem == 'mask' else self.network.fresh_buffers()
        expected = {slot.name: slot.shape for slot in slots} | {name: tuple(buffer.shape) for name, buffer in buffers.items()}
        for name in sorted(expected.keys() | tensors.keys()):
            shape = tuple(tensors[name].shape) if name in tensors else None
            if shape != expected.get(name):
                raise LthError(f'{path} does not fit {self.network.settings.name}: {name} is {shape or "absent"} there, {expected.get(name) or "absent"} '
                               'in the network. Restore the right file.')
        return header, tensors

    def _split(self, named: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """A plain state dict as vector (1, N) and buffers (1, ...)."""

        layout = self.network.layout
        names = {slot.name for slot in layout.slots}
        return layout.pack(named)[None], {name: tensor[None] for name, tensor in named.items() if name not in names}


@dataclass(frozen=True)
class Past(Sequence[Round]):
    """The whole rounds of some seeds, stacked, each read when it is asked for."""

    run: Run
    seeds: tuple[int, ...]
    whole: int

    def __len__(self) -> int:
        return self.whole

    @overload
    def __getitem__(self, index: int) -> Round: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Round]: ...

    def __getitem__(self, index: int | slice) -> Round | Sequence[Round]:
        numbers = range(self.whole)[index]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        return _together([self.run.load(seed, numbers) for seed in self.seeds])

    def __iter__(self) -> Iterator[Round]:
        return (self[number] for number in range(self.whole))


def _together(alone: list[Round]) -> Round:
    """The same round of several seeds as one, along the leading axis R."""

    def buffers(of: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([one[name] for one in of]) for name in of[0]}

    tickets, states = [one.ticket for one in alone], [one.trained for one in alone]
    ticket = Ticket(torch.cat([one.mask for one in tickets]), torch.cat([one.weights for one in tickets]),
                    buffers([one.buffers for one in tickets]), tickets[0].iteration)
    trained = State(torch.cat([one.weights for one in states]), buffers([one.buffers for one in states]), states[0].step)
    return Round(alone[0].number, ticket, trained)


def _row(measurement: Measurement, replicate: int) -> dict[str, Any]:
    """A measurement of one replicate as a line of metrics.jsonl."""

    row: dict[str, Any] = {'iteration': measurement.iteration}
    for name in ('train', 'validation', 'test'):
        score: Score | None = getattr(measurement, name)
        row[f'{name}_loss'] = score.loss[replicate] if score else None
        row[f'{name}_accuracy'] = score.accuracy[replicate] if score else None
    return row


def _measurement(row: dict[str, Any]) -> Measurement:
    scores = {name: None if row[f'{name}_loss'] is None else Score((row[f'{name}_loss'],), (row[f'{name}_accuracy'],))
              for name in ('train', 'validation', 'test')}
    return Measurement(iteration=row['iteration'], **scores)  # type: ignore[arg-type]
