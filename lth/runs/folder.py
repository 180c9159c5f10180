"""The run folder: the recipe (recipe.yaml), where it was run (sessions), and the completed rounds of each seed.

    seed-0/round-00/   mask.safetensors   ticket.safetensors   trained.safetensors   metrics.jsonl   round.json

A round exists if its folder has its final name. Seeds that were trained together are stored separately, so a folder
does not depend on the other seeds. The content of its files is described in round_encoding.py.
"""
import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lth.errors import LthError
from lth.models.network import Network
from lth.pruning.tickets import Round, Ticket
from lth.runs import integrity, run_locks, seed_folders, sessions
from lth.runs.checkpoint_files import checkpoint_folders
from lth.runs.events_file import EventLine
from lth.runs.metrics_file import MetricsLine
from lth.runs.recipe_digest import recipe_digest
from lth.runs.round_encoding import encode_round
from lth.runs.round_identity import RoundIdentity
from lth.runs.round_reader import RoundReader
from lth.runs.round_record import RoundRecord
from lth.runs.stored_rounds import StoredRounds
from lth.system import files, yaml_text
from lth.system.yaml_text import Raw

# Folders of logs, also before anything is saved: of measurements, and of jobs that wait in a queue.
_LOGS = ('tensorboard', 'slurm')
_TRAINED = ('trained', 'scores', 'ever-active', 'optimizer')
_REMOVED_BY_KEEP = {'tickets': _TRAINED, 'last': (*_TRAINED, 'ticket')}


@dataclass(frozen=True)
class Run:  # pylint: disable=too-many-public-methods # one for each question about a run
    """The folder of a run with this recipe and network. `nonzero_pixels` (C, H, W) marks the pixels that are not 0 in
    every image, None if all are; it is needed only to save rounds. `steps` is the number of iterations of a complete
    training, None if it is not known; a round that records more is refused.
    """

    folder: Path
    recipe: Raw
    network: Network
    nonzero_pixels: Tensor | None = field(default=None, compare=False)
    steps: int | None = None

    @property
    def recipe_file(self) -> Path:
        """The file of the recipe."""

        return self.folder / 'recipe.yaml'

    def stored_recipe(self) -> Raw | None:
        """The recipe in the folder, None if there is no run yet. LthError if the folder has other content."""

        if self.recipe_file.exists():
            return yaml_text.read_yaml(self.recipe_file)
        if self.folder.exists() and not self.folder.is_dir():
            raise LthError(f'{self.folder} is a file. Choose another folder with --run.')
        if seed_folders.is_name_of_seed(self.folder) and (self.folder.parent / 'recipe.yaml').exists():
            raise LthError(f'{self.folder} is a folder for a seed of the run {self.folder.parent}, so no other run can '
                           'be there. Choose another folder with --run.')
        entries = self.folder.iterdir() if self.folder.exists() else ()
        if not all(map(_may_precede_recipe, entries)):
            raise LthError(f'{self.folder} is not empty and is not a run: it has no recipe.yaml. Choose another folder '
                           'with --run.')
        return None

    def is_unused(self) -> bool:
        """Whether no command has saved anything in the folder yet: it has at most a recipe.yaml, and that of lth."""

        recipe = self.stored_recipe()
        if recipe is None:
            return True
        others = (entry for entry in self.folder.iterdir() if entry != self.recipe_file)
        return set(recipe) == set(self.recipe) and all(map(_may_precede_recipe, others))

    def seeds(self) -> list[int]:
        """The seeds with at least one completed round."""

        return seed_folders.seeds_with_rounds(self.folder)

    def round_count(self, seed: int) -> int:
        """Number of completed rounds of a seed, from round 0 to the first that is missing. LthError if something else
        than a folder has the name of a round.
        """

        return seed_folders.round_count(self.folder, seed)

    def round_folder(self, seed: int, number: int) -> Path:
        """The folder of a round of a seed."""

        return seed_folders.round_folder(self.folder, seed, number)

    def load_round(self, seed: int, number: int) -> Round:
        """One round of one seed, R = 1. LthError if a file was changed, or does not fit the run or the other files."""

        return self._reader(seed, number).load()

    def load_ticket(self, seed: int, number: int) -> Ticket:
        """The ticket of a round of one seed, R = 1, without its trained weights. LthError as from `load_round`."""

        return self._reader(seed, number).load_ticket()

    def load_mask(self, seed: int, number: int) -> Tensor:
        """The mask of a round of one seed: (1, P). LthError as from `load_round`."""

        return self._reader(seed, number).load_mask()

    def stored_rounds(self, seeds: Sequence[int], device: torch.device) -> StoredRounds:
        """The rounds that all these seeds have, each read onto the device when it is used."""

        count = min(self.round_count(seed) for seed in seeds)
        return StoredRounds(self.load_round, tuple(range(count)), tuple(seeds), device)

    def check(self, seed: int, number: int) -> None:
        """Read every file of a round. LthError as from `load_round`."""

        self._reader(seed, number).check()

    def record(self, seed: int, number: int) -> RoundRecord:
        """The facts about a round and its main results, read without its tensors."""

        return self._reader(seed, number).record

    def metrics(self, seed: int, number: int) -> list[MetricsLine]:
        """The measurements of a round."""

        return self._reader(seed, number).metrics

    def events(self, seed: int, number: int) -> list[EventLine]:
        """The events of a round whose mask moved; [] if it did not."""

        return self._reader(seed, number).events

    def checkpoint_folder(self, seed: int) -> Path:
        """The folder of the checkpoints of a seed's round in progress."""

        return seed_folders.checkpoint_folder(self.folder, seed)

    def begin(self) -> None:
        """Write what is saved before the first round or checkpoint: the recipe."""

        files.create_folder(self.folder)
        if not self.recipe_file.exists():
            files.write(self.recipe_file, yaml_text.dump_yaml(self.recipe).encode())

    def save(self, round_: Round, seeds: Sequence[int]) -> None:
        """Save a round of these seeds. The round of a seed is either complete or absent, whatever happens. LthError if
        the folder has this round already and it is different, or if the round before it was moved or deleted.
        """

        for seed in seeds:
            if round_.number > self.round_count(seed):
                raise LthError(f'{self.folder} has no round {self.round_count(seed)} of seed {seed} any more: the '
                               'folder, or a part of it, was moved or deleted while the run was trained. Put it back, '
                               'or run the same command again to train what is missing.')
        self.begin()
        for replicate, seed in enumerate(seeds):
            self._save(self._identity(seed, round_.number), round_, replicate)

    def thin(self, seed: int, number: int, keep: Literal['last', 'tickets']) -> None:
        """Remove files of a completed round as the option `--keep` says: `tickets` removes what was trained, `last`
        the ticket too. The mask, the measurements and the record stay. An interrupted call can be repeated.
        """

        names = [f'{name}.safetensors' for name in _REMOVED_BY_KEEP[keep]]
        integrity.remove_files(self._checked_folder(seed, number), names, keep)

    def sessions(self) -> list[Raw]:
        """The entries of all sessions that saved something, in order."""

        # Before anything is saved, the recipe in the folder may be replaced, and with it the digest.
        digest = self.digest if sessions.session_files(self.folder) else None
        return sessions.read(self.folder, digest)

    def source_folder(self) -> Path:
        """The folder of the run that this run starts from, if its algorithm needs one."""

        return Path(os.path.normpath(self.folder / self.recipe['algorithm']['source']))

    def leftovers(self, seeds: Sequence[int]) -> list[Path]:
        """Incomplete files and folders of these seeds, of a session that was killed while it wrote them, and the
        checkpoints of rounds that it completed.
        """

        incomplete = [path for seed in seeds for path in seed_folders.incomplete_files(self.folder, seed)]
        return [*incomplete, *(self.checkpoint_folder(seed) for seed in seeds if self._is_outdated(seed))]

    def remove_leftovers(self, seeds: Sequence[int]) -> None:
        """Delete the leftovers of these seeds, which no other process must be writing."""

        for leftover in self.leftovers(seeds):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()

    def _is_outdated(self, seed: int) -> bool:
        """Whether a seed has checkpoints, but all are of rounds that are complete."""

        rounds = [folder.round for folder in checkpoint_folders(self.checkpoint_folder(seed))]
        return bool(rounds) and max(rounds) < self.round_count(seed)

    def _identity(self, seed: int, number: int) -> RoundIdentity:
        return RoundIdentity(self.folder, seed, number, self.recipe, self.digest, self.network, self.steps)

    def _checked_folder(self, seed: int, number: int) -> integrity.CheckedFolder:
        return integrity.open_folder(self.round_folder(seed, number), integrity.repair_advice(self.folder))

    def _reader(self, seed: int, number: int) -> RoundReader:
        return RoundReader(self._identity(seed, number))

    @cached_property
    def digest(self) -> str:
        """The digest of the recipe that rounds record."""

        stored = yaml_text.read_yaml(self.recipe_file) if self.recipe_file.exists() else self.recipe
        return recipe_digest(self.recipe, stored)

    def _save(self, identity: RoundIdentity, round_: Round, replicate: int) -> None:
        """Write a round of one seed, unless the same round is there already."""

        contents = encode_round(identity, round_, replicate, self.nonzero_pixels)
        if not identity.folder.exists():
            files.write_folder(identity.folder, contents)
            return
        # Encoded again, since an earlier version may have written the same round in other words.
        stored = RoundReader(identity).load()
        if encode_round(identity, stored, 0, self.nonzero_pixels) != contents:
            raise LthError(f'{identity.folder} exists already and differs from the round that was just trained: an '
                           'earlier round was replaced, or it was trained with another number of threads or on '
                           'another device. Move it and the later rounds next to it away, and repeat the command to '
                           'train them again.')


def _may_precede_recipe(entry: Path) -> bool:
    """Whether a command that was interrupted, or has just started, may leave this in a folder without recipe.yaml."""

    if entry.name.startswith('.') or entry.suffix == '.partial' or entry.name in _LOGS:
        return True
    if not seed_folders.is_seed_folder(entry):
        return False
    with contextlib.suppress(FileNotFoundError):  # another command removed its empty folder
        return set(os.listdir(entry)) <= {run_locks.LOCK}
    return True
