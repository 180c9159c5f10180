"""The run folder: what was asked (recipe.yaml), where it ran (environment.json), and every whole round of every seed.

    seed-0/round-00/   mask.safetensors   ticket.safetensors   trained.safetensors   metrics.jsonl

A round exists if its folder has its final name. Seeds trained together are stored apart, so each folder is what it
would be alone. What its files hold is told in round_files.py.
"""
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from lth.errors import LthError
from lth.models.network import Network
from lth.pruning.tickets import Round, SearchState, Ticket
from lth.runs.round_files import RoundFiles
from lth.system import files
from lth.system.files import Raw
from lth.system.tensor_files import Header
from lth.training.engines.names import EngineChoice, engine_choice
from lth.training.task import Measurement, Metrics, State


@dataclass(frozen=True)
class Run:
    """A folder of rounds of one recipe and one network. `lit` (C, H, W), which only what saves must know, are the
    pixels that are not 0 in every picture, None if all are.
    """

    folder: Path
    recipe: Raw
    network: Network
    nonzero_pixels: Tensor | None = field(default=None, compare=False)

    def stored_recipe(self) -> Raw | None:
        """The recipe in the folder, None if there is no run yet; an LthError if there is something that is no run."""

        path = self.folder / 'recipe.yaml'
        if path.exists():
            return files.read_yaml(path)
        if self.folder.exists() and not self.folder.is_dir():
            raise LthError(f'{self.folder} is a file. Choose another folder with --run.')
        entries = self.folder.iterdir() if self.folder.exists() else ()
        if any(not entry.name.startswith('.') and entry.suffix != '.partial' for entry in entries):
            raise LthError(f'{self.folder} is not empty and is no run of lth: it has no recipe.yaml. '
                           'Choose another folder with --run.')
        return None

    def seeds(self) -> list[int]:
        """The seeds with at least one whole round."""

        found = [re.fullmatch(r'seed-(\d+)', entry.name) for entry in self.folder.glob('seed-*')]
        return sorted(seed for seed in (int(match[1]) for match in found if match) if self.round_count(seed))

    def round_count(self, seed: int) -> int:
        """How many whole rounds a seed has, counted from round 0."""

        number = 0
        while self.round_folder(seed, number).is_dir():
            number += 1
        return number

    def round_folder(self, seed: int, number: int) -> Path:
        """Where a round of a seed lies."""

        return self.folder / f'seed-{seed}' / f'round-{number:02d}'

    def stored_rounds(self, seeds: Sequence[int], device: torch.device) -> 'StoredRounds':
        """The rounds that all of these seeds have, to be read onto the device."""

        whole = min(self.round_count(seed) for seed in seeds)
        return StoredRounds(tuple((self, number) for number in range(whole)), tuple(seeds), device)

    def save(self, found: Round, seeds: Sequence[int]) -> None:
        """Puts a round of each seed in place; each is whole or absent whatever happens."""

        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / 'recipe.yaml').exists():
            files.write(self.folder / 'recipe.yaml', files.dump_yaml(self.recipe).encode())
        for replicate, seed in enumerate(seeds):
            self._put(self._files(seed, found.number), found, replicate)

    def sessions(self) -> list[Raw]:
        """The entries of environment.json."""

        return self.sessions_in(self.folder)

    @staticmethod
    def sessions_in(folder: Path) -> list[Raw]:
        """The entries of the environment.json of a run folder."""

        path = folder / 'environment.json'
        entries = files.read_json(path) if path.exists() else []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise LthError(f'{path} is not a list of sessions: restore it, or delete it; it only records where the run '
                           'happened.')
        return entries

    def engine_choice(self) -> EngineChoice | None:
        """The choice of engine that the run was made with last, None if nothing is recorded yet."""

        for session in self.sessions()[-1:]:
            # Versions that recorded no choice had only the eager engine on a CPU.
            return engine_choice(session.get('choice', 'eager' if session.get('device') == 'cpu' else 'auto'))
        return None

    def leftovers(self) -> list[Path]:
        """What a session that was killed had begun to write."""

        return [*self.folder.glob('*.partial'), *self.folder.glob('seed-*/*.partial')]

    def remove_leftovers(self) -> None:
        """Clears left-overs away."""

        for left_over in self.leftovers():
            if left_over.is_dir():
                shutil.rmtree(left_over)
            else:
                left_over.unlink()

    def record_session(self, session: Raw, *, first: bool) -> None:
        """Adds a session to environment.json, or brings the last one up to date."""

        before = self.sessions() if first else self.sessions()[:-1]
        files.write(self.folder / 'environment.json', json.dumps([*before, session], indent=2).encode())

    def load_round(self, seed: int, number: int) -> Round:
        """One round of one seed, R = 1, every file checked against the network."""

        return self._files(seed, number).load()

    def header(self, seed: int, number: int) -> Header:
        """What the trained weights' file says of itself."""

        return self._files(seed, number).header()

    def metrics(self, seed: int, number: int) -> list[dict[str, Any]]:
        """The measurements of a round, one a row."""

        return self._files(seed, number).metrics()

    def _put(self, place: RoundFiles, found: Round, replicate: int) -> None:
        """A round of one seed in its folder; one that is there already must be the same."""

        contents = place.contents(found, replicate)
        if not place.folder.exists():
            files.write_folder(place.folder, contents)
        elif any((place.folder / name).read_bytes() != content for name, content in contents.items()):
            raise LthError(f'{place.folder} is there already and differs from the round just found: an earlier round '
                           'was replaced, or it was made with other threads or on another device. Move it and the '
                           'later rounds beside it away, and the same command makes them again.')

    def _files(self, seed: int, number: int) -> RoundFiles:
        return RoundFiles(self.round_folder(seed, number), self.recipe, self.network, seed, number, self.nonzero_pixels)


@dataclass(frozen=True)
class StoredRounds(Sequence[Round]):
    """Rounds of some seeds, each stacked and read when it is asked for; pasts of several runs can be added."""

    rounds: tuple[tuple[Run, int], ...]
    seeds: tuple[int, ...]
    device: torch.device

    def __len__(self) -> int:
        return len(self.rounds)

    def __add__(self, later: 'StoredRounds') -> 'StoredRounds':
        return replace(self, rounds=self.rounds + later.rounds)

    @overload
    def __getitem__(self, index: int) -> Round: ...

    @overload
    def __getitem__(self, index: slice) -> 'StoredRounds': ...

    def __getitem__(self, index: int | slice) -> 'Round | StoredRounds':
        if isinstance(index, slice):
            return replace(self, rounds=self.rounds[index])
        run, number = self.rounds[index]
        return _together([run.load_round(seed, number).to(self.device) for seed in self.seeds])


def _together(alone: list[Round]) -> Round:
    """The same round of several seeds as one, along the leading axis R."""

    def buffers(of: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([one[name] for one in of]) for name in of[0]}

    tickets, states = [one.ticket for one in alone], [one.trained for one in alone]
    ticket = Ticket(torch.cat([one.mask for one in tickets]), torch.cat([one.weights for one in tickets]),
                    buffers([one.buffers for one in tickets]), tickets[0].iteration)
    trained = State(torch.cat([one.weights for one in states]),
                    buffers([one.buffers for one in states]), states[0].step, engine=states[0].engine,
                    history=tuple(map(_measured, *(one.history for one in states))))
    searches = [one.search for one in alone if one.search]
    if not searches:
        return Round(alone[0].number, ticket, trained)
    search = SearchState(torch.cat([one.scores for one in searches]), _joined([one.optimizer for one in searches]),
                    tuple(drawn for one in searches for drawn in one.drawn))
    return Round(alone[0].number, ticket, trained, search)


def _measured(*alone: Measurement) -> Measurement:
    """The measurements of several seeds at one iteration as one."""

    def score(parts: Sequence[Metrics | None]) -> Metrics:
        whole = [part for part in parts if part]
        return Metrics(tuple(part.loss[0] for part in whole), tuple(part.accuracy[0] for part in whole))

    train = score([one.train for one in alone]) if alone[0].train else None
    return Measurement(alone[0].iteration, train, score([one.validation for one in alone]),
                       score([one.test for one in alone]))


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Optimizers' states as one; a count of steps is one for all."""

    return {name: parts[0][name] if name == 'step' else torch.cat([part[name] for part in parts]) for name in parts[0]}
