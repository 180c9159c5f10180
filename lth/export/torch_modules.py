"""A ticket for other people's code: masks and weights by name, as modules of torch and back.

    ticket = lth.load_ticket('runs/lenet-300-100-mnist/seed-0/round-07')
    ticket.apply_to(my_module)

Inside lth a ticket is a vector and a bit-vector (tickets.py); what meets modules or files has names.
"""
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.recipes.schema import validate_section
from lth.system import tensor_files
from lth.system.tensor_files import Header

Named = dict[str, Tensor]


@dataclass(frozen=True)
class NamedTicket:
    """`masks`: bool by parameter, True is kept. `weights`: all parameters and buffers before training, pruned ones as
    they are frozen; `trained`: the same after it, if that is known. `provenance`: what the files say of themselves.
    """

    masks: Named
    weights: Named
    trained: Named | None = None
    provenance: Header = field(default_factory=dict)

    @staticmethod
    def of(module: nn.Module) -> 'NamedTicket':
        """The ticket in a module that was pruned with torch.nn.utils.prune, which is left as it is."""

        masks, weights = dict[str, Tensor](), dict[str, Tensor]()
        tensors = _tensors(module)
        for name, tensor in tensors.items():
            plain = name.removesuffix('_orig')
            mask = tensors.get(f'{plain}_mask') if plain != name else None
            if mask is not None:
                masks[plain] = mask.bool().clone()
                weights[plain] = tensor.detach() * mask
            elif not (name.endswith('_mask') and f'{name.removesuffix("_mask")}_orig' in tensors):
                weights[name] = tensor.detach().clone()
        if not masks:
            raise LthError(f'{type(module).__name__} is not pruned: none of its tensors has a mask of '
                           'torch.nn.utils.prune. Prune it first, before prune.remove makes the masks permanent.')
        return NamedTicket(masks, weights, provenance={'module': type(module).__name__})

    def as_trained(self) -> 'NamedTicket':
        """The ticket with its weights after training."""

        if self.trained is None:
            raise LthError('This ticket has no trained weights: trained.safetensors was not beside it.')
        return replace(self, weights=self.trained)

    def module(self) -> nn.Module:
        """The network that the ticket was found in, in training mode, with the ticket's weights."""

        if not isinstance(self.provenance.get('model'), dict):
            raise LthError('This ticket does not say which model of lth it is of: use apply_to(module) with your own.')
        model, shape = self.provenance['model'], self.provenance['shape']
        settings = validate_section(settings_class(model['name']), model, f'the ticket of {model["name"]}')
        network = Network.of(settings, (shape[0], shape[1], shape[2]), self.provenance['classes'])
        return self.apply_to(network.module).train()

    def apply_to(self, module: nn.Module) -> nn.Module:
        """The module itself, with the ticket's weights copied into it; an LthError names the first tensor that differs.

        To train it under the mask use `prune` instead.
        """

        tensors = _tensors(module)
        for name in [*tensors, *self.weights]:
            here, ours = (tuple(some[name].shape) if name in some else None for some in (tensors, self.weights))
            if here != ours:
                raise LthError(f'The ticket does not fit {type(module).__name__}: {name} is {_shown(ours)} in the '
                               f'ticket, {_shown(here)} in the module. Apply it to the network that it was found in.')
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(self.weights[name])
        return module

    def prune(self, module: nn.Module) -> nn.Module:
        """The module itself with the ticket's weights, and its masks held by torch.nn.utils.prune in any loop."""

        for name, mask in self.masks.items():
            if self.weights[name][~mask].any():
                raise LthError(f'torch.nn.utils.prune holds pruned weights at 0, but some of {name} are frozen at '
                               'other values, as the mask-0 action of the search wanted it: use apply_to, and hold '
                               'them yourself.')
        self.apply_to(module)
        for name, mask in self.masks.items():
            owner, _, leaf = name.rpartition('.')
            prune.custom_from_mask(module.get_submodule(owner), leaf, mask)  # type: ignore[no-untyped-call]
        return module


def load_ticket(path: str | Path) -> NamedTicket:
    """The ticket in the folder of a round, RUN/seed-S/round-NN, here or below ./runs; run folder and recipe need not be
    there. Every file is checked against the others.
    """

    folder = _round_folder(Path(path))
    header, weights = tensor_files.read(folder / 'ticket.safetensors')
    mask_header, masks = tensor_files.read(folder / 'mask.safetensors')
    trained_header, trained = header, None
    if (folder / 'trained.safetensors').exists():
        trained_header, trained = tensor_files.read(folder / 'trained.safetensors')
    for name, other in (('mask', mask_header), ('trained', trained_header)):
        for key in header:
            if key != 'holds' and other.get(key) != header[key]:
                raise LthError(f'The files in {folder} do not belong together: {key} is {header[key]!r} in '
                               f'ticket.safetensors, {other.get(key)!r} in {name}.safetensors.')
    for name, mask in masks.items():
        if mask.dtype != torch.bool or name not in weights or mask.shape != weights[name].shape:
            raise LthError(f'{folder / "mask.safetensors"} does not fit the ticket beside it: {name} is not a mask of '
                           'one of its weights.')
    return NamedTicket(masks, weights, trained, {key: value for key, value in header.items() if key != 'holds'})


def _round_folder(path: Path) -> Path:
    """The folder of the round that a path names; that of a run or seed which has only one will do."""

    for folder in (path, Path('runs') / path):
        if (folder / 'ticket.safetensors').exists():
            return folder
        found = [file.parent for pattern in ('round-*', 'seed-*/round-*')
                 for file in folder.glob(f'{pattern}/ticket.safetensors') if file.parent.suffix != '.partial']
        if len(found) == 1:
            return found[0]
        if found:
            raise LthError(f'{path} has {len(found)} rounds: name one of them, such as {max(found)}.')
    raise LthError(f'{path} is no round of a run: expected a folder with ticket.safetensors and mask.safetensors, such '
                   'as RUN/seed-0/round-05, here or below ./runs.')


def _tensors(module: nn.Module) -> Named:
    """All parameters and buffers, a shared one under its first name."""

    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _shown(shape: tuple[int, ...] | None) -> str:
    return 'absent' if shape is None else f'of shape {shape}'
