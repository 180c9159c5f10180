"""The network that is exported: the weights of one round of one seed, before or after its training."""
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lth.errors import LthError
from lth.experiments import open_run
from lth.experiments.plan import Plan
from lth.exports.name_matching import tensors_by_name
from lth.models.network import Buffers, replicate_buffers
from lth.models.requirements import module_copy
from lth.runs.folder import Run
from lth.runs.removed_weights import MissingWeights, Needed, Weights
from lth.runs.round_record import RoundRecord
from lth.runs.run_path import RunPath
from lth.system.tensor_files import Header

# As many rounds of a run are listed in an error.
_MOST_LISTED = 12


class _State(NamedTuple):
    """A mask (P,), all parameters (N,) and the buffers of one network."""

    mask: Tensor
    weights: Tensor
    buffers: Buffers


@dataclass(frozen=True)
class ExportedNetwork:
    """A network of a run: `module` in evaluation mode, with the weights of the round, and its `masks` by parameter name
    (True for kept weights). `frozen` is the number of pruned weights that are not 0, as a mask action froze them
    elsewhere.
    """

    plan: Plan
    run: Run
    seed: int
    round: int
    weights: Weights
    module: nn.Module
    masks: dict[str, Tensor]
    frozen: int

    @property
    def name(self) -> str:
        """The name of the model."""

        return self.plan.recipe.model.name

    @property
    def record(self) -> RoundRecord:
        """What is recorded of the round."""

        return self.run.record(self.seed, self.round)

    @property
    def facts(self) -> Header:
        """Where the weights come from, for the headers of files."""

        record = self.record
        return {'run': self.run.folder.name, 'seed': self.seed, 'round': self.round, 'weights': self.weights,
                'model': record.model, 'dataset': record.dataset, 'shape': list(record.shape),
                'classes': record.classes, 'kept': record.kept, 'prunable': record.prunable,
                'all_weights': record.weights, 'density': record.density, 'ticket': record.ticket}

    def state_dict(self) -> dict[str, Tensor]:
        """All parameters and buffers by the names of the module, each with memory of its own."""

        return {name: tensor.detach().clone().contiguous() for name, tensor in self.module.state_dict().items()}

    def example(self, images: int = 2) -> Tensor:
        """Inputs of the right shape: (images, C, H, W)."""

        return torch.zeros(images, *self.plan.network.shape)

    def fresh_module(self) -> nn.Module:
        """A copy of the module, in which weights may be replaced."""

        return module_copy(self.module, self.name).eval()


def open_network(path: RunPath, weights: Weights) -> ExportedNetwork:
    """The network of the round at a path, RUN/seed-S/round-NN. LthError if the path does not name one round, or if the
    option --keep removed the weights.
    """

    if path.seed is None or path.round is None:
        raise _ambiguous(path)
    plan, run = open_run.open_run(path)
    state = _read(run, path.seed, path.round, weights)
    if plan.network.noisy:
        raise LthError(f'{plan.recipe.model.name} uses random numbers in evaluation mode too, so that an export cannot '
                       'be compared with it. Change the model so that evaluation repeats.')
    module = module_copy(plan.network.module, plan.recipe.model.name).eval()
    named: dict[str, Tensor] = {**plan.network.layout.unpack(state.weights), **state.buffers}
    with torch.no_grad():
        for name, tensor in tensors_by_name(module).items():
            tensor.copy_(named[name])
    module.requires_grad_(False)
    frozen = int((state.weights[:len(state.mask)][~state.mask] != 0).sum())
    masks = {name: mask.contiguous() for name, mask in plan.network.layout.unpack(state.mask).items()}
    return ExportedNetwork(plan, run, path.seed, path.round, weights, module, masks, frozen)


def _read(run: Run, seed: int, number: int, weights: Weights) -> _State:
    """The weights of a round. LthError if --keep removed them, with what can be exported instead."""

    if missing := MissingWeights.of(run.folder, [Needed(seed, number, weights)]):
        raise missing.error(f' of seed {seed}', _alternative(run, seed, number, weights))
    if weights == 'ticket':
        ticket = run.load_ticket(seed, number)
        return _State(ticket.mask[0], ticket.weights[0], replicate_buffers(ticket.buffers, 0))
    round_ = run.load_round(seed, number)
    return _State(round_.ticket.mask[0], round_.trained.weights[0], replicate_buffers(round_.trained.buffers, 0))


def _alternative(run: Run, seed: int, number: int, weights: Weights) -> str:
    """What can be exported instead, as a sentence; '' for nothing."""

    def is_there(other: int, kind: Weights) -> bool:
        return not MissingWeights.of(run.folder, [Needed(seed, other, kind)])

    ways = []
    if weights == 'trained' and is_there(number, 'ticket'):
        ways.append('the weights before training with --weights ticket')
    rounds = [other for other in range(run.round_count(seed)) if is_there(other, weights)]
    if rounds:
        ways.append(f'a round that has them, such as {run.round_folder(seed, rounds[-1])}')
    return f'Export {", or ".join(ways)}.' if ways else ''


def _ambiguous(path: RunPath) -> LthError:
    """The error for a path of a run or seed, with the rounds that can be exported."""

    _, run = open_run.open_run(path)
    rounds = [str(run.round_folder(seed, number)) for seed, number in _rounds(run, path.seed)]
    shown = rounds if len(rounds) <= _MOST_LISTED else [*rounds[:_MOST_LISTED // 2], '…', *rounds[-_MOST_LISTED // 2:]]
    part = run.folder if path.seed is None else run.folder / f'seed-{path.seed}'
    return LthError(f'An export is one network, but {part} has {len(rounds)} round{"s" * (len(rounds) > 1)}. Give one '
                    f'of: {", ".join(shown)}.')


def _rounds(run: Run, seed: int | None) -> Iterator[tuple[int, int]]:
    for one in run.seeds() if seed is None else [seed]:
        yield from ((one, number) for number in range(run.round_count(one)))


def parameters(module: nn.Module) -> int:
    """Number of parameters of a module."""

    return sum(parameter.numel() for parameter in module.parameters())
