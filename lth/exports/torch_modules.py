"""Tickets for code outside lth: masks and weights by name, applied to torch modules or taken from them.

    ticket = lth.load_ticket('runs/lenet-300-100-mnist/seed-0/round-07')
    ticket.apply_to(my_module)

Inside lth a ticket is a mask vector and a weight vector (lth/pruning/tickets.py); modules and files have names.
"""
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from lth.errors import LthError, quote
from lth.exports.name_matching import match_tensors, shape_in_words, tensors_by_name
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.recipes.schema import validate_section
from lth.registry import trust, user_code
from lth.runs import integrity, seed_folders
from lth.runs.integrity import CheckedFolder
from lth.runs.round_tensors import read_tensor_file
from lth.runs.tensor_checks import check_values
from lth.system.memory import total_memory
from lth.system.tensor_files import Header

Named = dict[str, Tensor]


@dataclass(frozen=True, repr=False)
class NamedTicket:
    """A ticket by parameter names.

    masks: bool, True for kept weights. weights: all parameters and buffers before training, pruned weights at the value
    they are frozen at. trained: the same after training, None if unknown. provenance: the header of the files.
    """

    masks: Named
    weights: Named
    trained: Named | None = None
    provenance: Header = field(default_factory=dict)

    def __repr__(self) -> str:
        kept = sum(int(mask.sum()) for mask in self.masks.values())
        total = sum(mask.numel() for mask in self.masks.values())
        return f'NamedTicket with {kept:,} of {total:,} weights in {len(self.masks)} tensors'

    @staticmethod
    def of(module: nn.Module) -> 'NamedTicket':
        """The ticket in a module that was pruned with torch.nn.utils.prune. The module is not changed."""

        masks, weights = dict[str, Tensor](), dict[str, Tensor]()
        tensors, names = tensors_by_name(module), tensors_by_name(module, remove_duplicate=False)
        for name, tensor in tensors.items():
            parameter = name.removesuffix('_orig')
            mask = tensors.get(f'{parameter}_mask') if parameter != name else None
            if mask is not None:
                masks[parameter] = mask.bool().clone()
                weights[parameter] = tensor.detach() * mask
            elif not (name.endswith('_mask') and f'{name.removesuffix("_mask")}_orig' in names):
                weights[name] = tensor.detach().clone()
        if not masks:
            raise LthError(f'{type(module).__name__} is not pruned: none of its tensors has a mask of '
                           'torch.nn.utils.prune. Prune it first, before prune.remove makes the masks permanent.')
        return NamedTicket(masks, weights, provenance={'module': type(module).__name__})

    def as_trained(self) -> 'NamedTicket':
        """The ticket with its weights after training."""

        if self.trained is None:
            raise LthError('This ticket has no trained weights: its folder has no trained.safetensors. '
                           'The option --keep of a search removes it from earlier rounds; the last round has it.')
        return replace(self, weights=self.trained)

    def module(self) -> nn.Module:
        """A new network of the ticket's model with the ticket's weights, in training mode."""

        if not isinstance(self.provenance.get('model'), dict):
            raise LthError('This ticket does not record a model of lth. Use apply_to(module) with your own module.')
        user_code.require_trust(self.provenance)
        model, shape = self.provenance['model'], self.provenance['shape']
        settings = validate_section(settings_class(model['name']), model, f'the ticket of {model["name"]}')
        network = Network.of(settings, (shape[0], shape[1], shape[2]), self.provenance['classes'])
        return self.apply_to(network.module).train()

    def apply_to(self, module: nn.Module, *, names: Mapping[str, str] | None = None) -> nn.Module:
        """Copy the ticket's weights into the module, and return it. LthError names the first tensor that differs.

        `names` maps names of layers or tensors in the ticket to those in the module; all other names are the same.
        Without `names`, layers with other names are matched by their shapes if no two have the same. The prefixes of
        torch.compile and of DataParallel are ignored. The masks are not applied during training; use `prune` for that.

            ticket.apply_to(module, names={'dense1': 'features.0', 'output': 'head'})
        """

        self._copy_into(match_tensors(self.weights, module, names))
        return module

    def prune(self, module: nn.Module, *, names: Mapping[str, str] | None = None) -> nn.Module:
        """Copy the ticket's weights into the module, hold its masks with torch.nn.utils.prune in any training loop, and
        return it. `names` as for `apply_to`.
        """

        for name, mask in self.masks.items():
            if self.weights[name][~mask].any():
                raise LthError(f'torch.nn.utils.prune holds pruned weights at 0, but some of {name} are frozen at '
                               'other values (--mask-0-action of the search). Use apply_to, and hold them yourself.')
        tensors = match_tensors(self.weights, module, names)
        self._copy_into(tensors)
        masks = {id(tensors[name]): mask for name, mask in self.masks.items()}
        for layer in list(module.modules()):  # layers that share a weight need a mask each
            for attribute, parameter in list(layer.named_parameters(recurse=False, remove_duplicate=False)):
                if id(parameter) in masks:
                    prune.custom_from_mask(layer, attribute, masks[id(parameter)])  # type: ignore[no-untyped-call]
        return module

    def _copy_into(self, tensors: Named) -> None:
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(self.weights[name])


def load_ticket(path: str | Path, *, trust_code: bool = False) -> NamedTicket:
    """The ticket in the folder of a round, RUN/seed-S/round-NN, also looked up in ./runs. The folder needs no run
    around it. LthError if its files do not belong together. With `trust_code`, its `module()` may run the code that the
    ticket names as its model and that is neither of lth nor of a plug-in.

        ticket = lth.load_ticket('runs/lenet-300-100-mnist/seed-0/round-07')
    """

    folder = _round_folder(Path(path))
    run = folder.parent.parent
    inside = (run / 'recipe.yaml').is_file()
    checked = integrity.open_folder(folder, integrity.repair_advice(run) if inside else 'Restore it from a copy.')
    header, weights = _read(checked, 'ticket')
    _check_place(checked, header)
    mask_header, masks = _read(checked, 'mask')
    _check_header(checked, 'mask', header, mask_header)
    trained = None
    if (folder / 'trained.safetensors').exists():
        trained_header, trained = _read(checked, 'trained')
        _check_header(checked, 'trained', header, trained_header)
        _check_masks(checked, masks, trained)
    _check_masks(checked, masks, weights)
    if trust_code:
        trust.add(header['model'])
    return NamedTicket(masks, weights, trained, header)


def _check_masks(checked: CheckedFolder, masks: Named, weights: Named) -> None:
    """LthError unless every mask is one of a float32 weight with finite values."""

    path = checked.folder / 'mask.safetensors'
    for name, mask in masks.items():
        fits = shape_in_words(masks, name) == shape_in_words(weights, name)
        if mask.dtype != torch.bool or not fits or weights[name].dtype != torch.float32:
            raise LthError(f'{path} does not fit the weights next to it: {name[:100]} is not a mask of one of them. '
                           f'{checked.advice}')
        check_values(path, name, mask, checked.advice)
        check_values(path, name, weights[name], checked.advice)


def _read(checked: CheckedFolder, name: str) -> tuple[Header, Named]:
    """The facts and the tensors of a file. Its size is not known, but what is larger than memory cannot be read."""

    header, tensors = read_tensor_file(checked, name, at_most=total_memory())
    return header.facts().dump(), tensors


def _check_place(checked: CheckedFolder, header: Header) -> None:
    """LthError if the folder is called seed-S/round-NN, but its files belong to another seed or round."""

    place = seed_folders.round_folder(Path(), header['seed'], header['round']).as_posix()
    named = '/'.join(checked.folder.absolute().parts[-2:])
    if re.fullmatch(r'seed-\d+/round-\d+', named) and named != place:
        raise LthError(f'The files in {checked.folder} do not belong there: they are those of {place}. '
                       f'{checked.advice}')


def _check_header(checked: CheckedFolder, name: str, expected: Header, header: Header) -> None:
    """LthError unless the facts of a file are those of ticket.safetensors."""

    for key, value in expected.items():
        if header.get(key) != value:
            raise LthError(f'The files in {checked.folder} do not belong together: {key} is {quote(value)} in '
                           f'ticket.safetensors and {quote(header.get(key))} in {name}.safetensors. {checked.advice}')


def _round_folder(path: Path) -> Path:
    """The round's folder that a path names; the path of a run or seed with a single round names that round."""

    for folder in (path, Path('runs') / path):
        if (folder / integrity.SUMS).exists() or (folder / 'ticket.safetensors').exists():
            return folder
        files = [*folder.glob('round-*/ticket.safetensors'), *folder.glob('seed-*/round-*/ticket.safetensors')]
        rounds = [file.parent for file in files if file.parent.suffix != '.partial']
        if len(rounds) == 1:
            return rounds[0]
        if rounds:
            raise LthError(f'{path} has {len(rounds)} rounds. Name one of them, such as {max(rounds)}.')
    raise LthError(f"'{path}' is not a round of a run. Give a folder with ticket.safetensors and mask.safetensors, "
                   'such as RUN/seed-0/round-05; relative names are also looked up in ./runs.')
