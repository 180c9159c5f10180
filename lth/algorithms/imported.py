"""Runs of other programs, imported by `lth import`: nothing is searched or trained, the rounds are read from files.

Each round is measured on the test images, as the first and only measurement of its training.
"""
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.base import ALGORITHMS
from lth.errors import LthError
from lth.foreign import FORMS, ForeignRun
from lth.foreign.checkpoint_files import load_tensors
from lth.foreign.fitted_rounds import FittedRound, Weights, fit_round
from lth.foreign.forms import open_form
from lth.models.flat_parameters import Layout
from lth.models.network import Buffers, Network
from lth.pruning.tickets import Round, Ticket
from lth.recipes.registered_names import RegisteredName
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.training.loop import measure
from lth.training.state import State
from lth.training.task import Task


class Settings(AlgorithmSettings):
    """`form` and `path` say what was imported, `digest` its files; `kept` are the numbers of weights in its rounds.
    Tickets start at iteration `start_iteration` of epoch `start_epoch`.
    """

    reads_files: ClassVar[bool] = True

    name: Literal['imported']
    form: Annotated[str, RegisteredName(FORMS)] = Field(description='A form of lth import.')
    path: str = Field(description='The folder or file that was imported.')
    digest: str = Field(description='Digest of the files that were imported.')
    kept: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = Field(
        description='Numbers of weights in the rounds.')
    start_epoch: int = Field(0, ge=0, description='Epoch at which the training of tickets starts.')
    start_iteration: int = Field(0, ge=0, description='Iteration of this epoch.')
    rewind: str | None = Field(None, description='File with the weights from before training.')
    names: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description='Layers in the files and in the model, OLD=NEW.')

    @property
    def origin(self) -> str:
        return f'imported from {self.path} ({self.form})'

    def kept_counts(self, _layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        return list(self.kept)

    def check(self, training: TrainingSettings, steps_per_epoch: int) -> None:
        start, end = self.start(steps_per_epoch), training.steps(steps_per_epoch)
        if start >= end:
            raise LthError(f'training.length: tickets start at iteration {start:,}, and training ends at {end:,}. Set '
                           'a longer training: --set "training.length=N epochs".')

    def trained_steps(
            self, _number: int, _training: TrainingSettings, _steps_per_epoch: int, *, start: int = 0) -> int:
        """Nothing is trained."""

        return 0

    def start(self, steps_per_epoch: int) -> int:
        """The iteration at which the training of tickets starts."""

        return self.start_epoch * steps_per_epoch + self.start_iteration


@ALGORITHMS.register('imported', settings=Settings)
def imported_rounds(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Rounds that another program found, read from its files by lth import."""

    found = open_imported(settings)
    for number in range(len(past), len(settings.kept)):
        rounds = [read_round(task.network, found, settings, seed, number) for seed in task.seeds]
        yield _round(task, settings, number, rounds)


def open_imported(settings: Settings) -> ForeignRun:
    """What was imported; LthError if its files are not there any more or have changed."""

    found = open_form(settings.form, Path(settings.path))
    if found.digest != settings.digest:
        raise LthError(f'The files in {settings.path} have changed since the import started. Import them in another '
                       'folder (--run), or with --restart.')
    return found


def read_round(network: Network, found: ForeignRun, settings: Settings, seed: int, number: int) -> FittedRound:
    """A round of a seed in this network. LthError if it does not fit."""

    if seed not in found.rounds:
        raise LthError(f'{settings.path} has no replicate {seed}; it has {list(found.rounds)}. Choose with --seeds.')
    round_ = found.rounds[seed][number]()
    if settings.rewind is not None:
        round_ = round_._replace(start=load_tensors(Path(settings.rewind)))
    return fit_round(network, round_, f'{settings.path}, round {number}', settings.names)


def _round(task: Task, settings: Settings, number: int, rounds: Sequence[FittedRound]) -> Round:
    device = task.engine.device
    mask = torch.cat([one.mask for one in rounds]).to(device)
    trained = _stack([one.trained for one in rounds], device)
    known = [one.start for one in rounds if one.start is not None]
    start = _stack(known, device) if len(known) == len(rounds) else trained
    state = State(*trained, task.steps)
    ticket = Ticket(mask, *start, settings.start(task.steps_per_epoch))
    return Round(number, ticket, State(*trained, task.steps, history=(measure(task, state),)),
                 start_unknown=len(known) < len(rounds))


def _stack(weights: Sequence[Weights], device: torch.device) -> tuple[Tensor, Buffers]:
    vectors = torch.cat([one.vector for one in weights]).to(device)
    return vectors, {name: torch.cat([one.buffers[name] for one in weights]).to(device) for name in weights[0].buffers}
