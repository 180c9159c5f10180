"""Tickets for code outside lth: masks and weights by name, applied to torch modules and taken from them."""
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import prune

import lth as package
from lth.algorithms.imp import find_ticket
from lth.algorithms.imp_settings import Settings
from lth.errors import LthError
from lth.exports.torch_modules import NamedTicket, load_ticket
from lth.models.network import Network
from lth.runs import integrity
from lth.runs.folder import Run
from tests import round_files
from tests.conftest import make_task

RECIPE = {'model': {'name': 'resnet20', 'initializer': 'glorot-normal', 'shortcut': 'projection', 'norm': 'affine'},
          'data': {'name': 'made-up'}}


def train_run(folder: Path, mask_0_action: str = 'zero', rounds: int = 1) -> Network:
    """Train a ResNet-20 with BatchNorm in the folder, and return its network."""

    task = make_task('resnet20', shape=(3, 8, 8), length='1 epochs')
    run = Run(folder, RECIPE, task.network)
    settings = Settings(name='magnitude', rounds=rounds, mask_0_action=mask_0_action)
    for round_ in find_ticket(task, settings, ()):
        run.save(round_, (0,))
    return task.network


def module_of(network: Network) -> nn.Module:
    """Another module of the same structure, with other weights."""

    module = Network.of(network.settings, network.shape, network.classes).module.train()
    for tensor in module.parameters():
        tensor.data.normal_()
    return module


def logits(module: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = module.eval()(torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8))
    return result


def test_load_ticket_reads_masks_weights_and_provenance(tmp_path):
    train_run(tmp_path / 'run')
    folder = tmp_path / 'run/seed-0/round-01'
    ticket = package.load_ticket(folder)
    for tensors, name in ((ticket.masks, 'mask'), (ticket.weights, 'ticket'), (ticket.trained, 'trained')):
        stored = load_file(folder / f'{name}.safetensors')
        assert tensors is not None and tensors.keys() == stored.keys()
        assert all(torch.equal(tensors[key], tensor) for key, tensor in stored.items())
    assert ticket.provenance['seed'] == 0 and ticket.provenance['round'] == 1
    assert ticket.provenance['kept'] == sum(int(mask.sum()) for mask in ticket.masks.values())
    assert repr(ticket).startswith(f'NamedTicket with {ticket.provenance["kept"]:,} of ') and len(repr(ticket)) < 200


def test_load_ticket_needs_no_run_around_the_folder_of_a_round(tmp_path):
    network = train_run(tmp_path / 'run')
    shutil.copytree(tmp_path / 'run/seed-0/round-01', tmp_path / 'copied')
    integrity.remove_files(integrity.open_folder(tmp_path / 'copied', ''), ['trained.safetensors'], 'tickets')
    ticket = load_ticket(tmp_path / 'copied')
    assert ticket.module().state_dict().keys() == network.module.state_dict().keys()
    with pytest.raises(LthError, match='has no trained weights'):
        ticket.as_trained()


def test_the_module_of_a_ticket_computes_what_lth_computes(tmp_path):
    network = train_run(tmp_path / 'run')
    ticket = load_ticket(tmp_path / 'run/seed-0/round-01')
    trained = Run(tmp_path / 'run', RECIPE, network).load_round(0, 1).trained
    images = torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)
    buffers = {name: buffer[0] for name, buffer in trained.buffers.items()}
    assert torch.allclose(logits(ticket.as_trained().module()), network.logits(trained.weights[0], buffers, images))
    assert ticket.module().training
    assert not torch.allclose(logits(ticket.module()), logits(ticket.as_trained().module()))


def test_applying_a_ticket_copies_every_tensor_and_shares_none(tmp_path):
    network = train_run(tmp_path / 'run')
    ticket, module = load_ticket(tmp_path / 'run/seed-0/round-01'), module_of(network)
    assert ticket.apply_to(module) is module
    assert torch.equal(logits(module), logits(ticket.module()))
    before = {name: tensor.clone() for name, tensor in ticket.weights.items()}
    for tensor in module.parameters():
        tensor.data.add_(1)
    assert all(torch.equal(ticket.weights[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(('layers', 'message'), [
    ([nn.Conv2d(3, 16, 3)], r'0.weight is absent in the ticket and of shape \(16, 3, 3, 3\) in the module'),
    ([], r'blocks.0.main.0.weight is of shape \(16, 16, 3, 3\) in the ticket and absent in the module')])
def test_apply_to_a_module_that_does_not_fit_names_the_first_tensor_that_differs(tmp_path, layers, message):
    train_run(tmp_path / 'run')
    with pytest.raises(LthError, match=message):
        load_ticket(tmp_path / 'run/seed-0/round-01').apply_to(nn.Sequential(*layers))


def test_apply_to_a_layer_of_another_shape_changes_nothing(tmp_path):
    network = train_run(tmp_path / 'run')
    module = module_of(network)
    module.get_submodule('stem')[0] = nn.Conv2d(3, 17, 3, bias=False)  # type: ignore[operator]
    before = [tensor.clone() for tensor in module.parameters()]
    with pytest.raises(LthError, match=r'stem.0.weight is of shape \(16, 3, 3, 3\) in the ticket and of shape \(17,'):
        load_ticket(tmp_path / 'run/seed-0/round-01').apply_to(module)
    assert all(map(torch.equal, before, module.parameters()))


def test_a_pruned_module_holds_its_mask_in_any_loop_and_gives_the_ticket_back(tmp_path):
    network = train_run(tmp_path / 'run')
    ticket = load_ticket(tmp_path / 'run/seed-0/round-01')
    module = ticket.prune(module_of(network))
    assert prune.is_pruned(module) and torch.equal(logits(module), logits(ticket.module()))
    extracted = NamedTicket.of(module)
    assert extracted.masks.keys() == ticket.masks.keys() and extracted.weights.keys() == ticket.weights.keys()
    assert all(torch.equal(extracted.masks[name], mask) for name, mask in ticket.masks.items())
    assert all(torch.equal(extracted.weights[name], tensor) for name, tensor in ticket.weights.items())
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        module.train()(torch.rand(4, 3, 8, 8)).square().mean().backward()
        optimizer.step()
    module(torch.rand(4, 3, 8, 8))
    for name, mask in ticket.masks.items():
        owner, _, attribute = name.rpartition('.')
        weight = getattr(module.get_submodule(owner), attribute)
        assert weight[~mask].abs().sum() == 0 and not torch.equal(weight, ticket.weights[name])


def test_a_module_pruned_by_torch_gives_a_ticket():
    module = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 4))
    prune.l1_unstructured(module[0], 'weight', amount=10)
    ticket = NamedTicket.of(module)
    assert list(ticket.masks) == ['0.weight'] and int(ticket.masks['0.weight'].sum()) == 20
    other = ticket.apply_to(nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 4)))
    images = torch.rand(3, 6)
    assert torch.equal(other.eval()(images), module.eval()(images))
    with pytest.raises(LthError, match='does not record a model'):
        ticket.module()
    with pytest.raises(LthError, match='Sequential is not pruned'):
        NamedTicket.of(other)


def test_weights_frozen_at_other_values_than_zero_are_applied_but_not_pruned(tmp_path):
    network = train_run(tmp_path / 'run', mask_0_action='freeze')
    ticket = load_ticket(tmp_path / 'run/seed-0/round-01')
    name = 'stem.0.weight'
    module = ticket.apply_to(module_of(network))
    assert bool((module.get_parameter(name)[~ticket.masks[name]] != 0).all())
    with pytest.raises(LthError, match='some of blocks.0.main.0.weight are frozen at other values'):
        ticket.prune(module)


def test_load_ticket_of_a_path_that_names_no_single_round_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train_run(tmp_path / 'runs/one', rounds=0)
    train_run(tmp_path / 'runs/two', rounds=1)
    assert load_ticket('one').provenance['round'] == 0
    assert load_ticket('two/seed-0/round-01').provenance['round'] == 1
    with pytest.raises(LthError, match='two has 2 rounds. Name one of them, such as runs/two/seed-0/round-01'):
        load_ticket('two')
    with pytest.raises(LthError, match="'three' is not a round of a run"):
        load_ticket('three')


def test_load_ticket_of_mixed_files_is_refused(tmp_path):
    train_run(tmp_path / 'run')
    folder = tmp_path / 'run/seed-0'
    round_files.forge(
        folder / 'round-01/mask.safetensors', (folder / 'round-00/mask.safetensors').read_bytes())
    with pytest.raises(LthError, match='do not belong together: round is .* in mask.safetensors'):
        load_ticket(folder / 'round-01')


@pytest.mark.parametrize('name', ['mask', 'ticket', 'trained'])
def test_load_ticket_of_a_changed_a_missing_and_a_forged_file_is_refused(tmp_path, name):
    train_run(tmp_path / 'run')
    path = tmp_path / f'run/seed-0/round-01/{name}.safetensors'
    original, tensors = path.read_bytes(), round_files.read(path)[1]
    path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    with pytest.raises(LthError, match=f'{name}.safetensors is damaged or was changed'):
        load_ticket(path.parent)
    path.unlink()
    with pytest.raises(LthError, match=f'{name}.safetensors'):
        load_ticket(path.parent)
    weight = 'stem.0.weight'
    for changed in (tensors[weight].double(), tensors[weight].float() * float('nan'), tensors[weight].int()):
        path.write_bytes(original)
        round_files.forge_tensors(path, tensors | {weight: changed})
        with pytest.raises(LthError, match='mask.safetensors.*(does not fit|is damaged).*stem.0.weight'):
            load_ticket(path.parent)


def test_load_ticket_of_a_round_whose_ticket_was_removed_names_the_option(tmp_path):
    network = train_run(tmp_path / 'run')
    Run(tmp_path / 'run', RECIPE, network).thin(0, 1, 'last')
    with pytest.raises(LthError, match='ticket.safetensors was removed by the option --keep last'):
        load_ticket(tmp_path / 'run/seed-0/round-01')


def test_load_ticket_with_a_mask_of_another_shape_is_refused(tmp_path):
    train_run(tmp_path / 'run')
    path = tmp_path / 'run/seed-0/round-01/mask.safetensors'
    masks = round_files.read(path)[1]
    masks['stem.0.weight'] = masks['stem.0.weight'][:4]
    round_files.forge_tensors(path, masks)
    with pytest.raises(LthError, match='does not fit the weights next to it: stem.0.weight'):
        load_ticket(path.parent)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, features):
        return self.second(self.first(features))


def test_a_weight_that_layers_share_is_pruned_in_each_of_them_and_stays_shared():
    mask, weight = torch.eye(4).bool(), torch.diag(torch.arange(1., 5))
    biases = {'first.bias': torch.ones(4), 'second.bias': torch.ones(4)}
    module = NamedTicket({'first.weight': mask}, {'first.weight': weight, **biases}).prune(Tied())
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    module(torch.rand(3, 4)).square().sum().backward()
    optimizer.step()
    module(torch.rand(3, 4))
    assert torch.equal(module.first.weight, module.second.weight)
    assert not module.second.weight[~mask].any() and not torch.equal(module.first.weight, weight)
    again = NamedTicket.of(module)
    assert again.masks.keys() == {'first.weight'} and again.weights.keys() == {'first.weight', *biases}
