"""Tickets for other images: what is transferred, what is re-initialized, what is refused."""
import pytest
import torch

from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.pruning.output_layer import reinitialized_parameters, transplant, transplanted_count
from lth.pruning.tickets import Ticket, initial_ticket

CPU = torch.device('cpu')


def network(shape: tuple[int, int, int] = (1, 8, 8), classes: int = 4, model: str = 'lenet-300-100') -> Network:
    return Network.of(settings_class(model)(name=model), shape, classes)


def ticket(of: Network, seeds: int = 2) -> Ticket:
    """A random mask, and weights that are not 0 outside it: what is frozen there is part of a ticket."""

    random = torch.Generator().manual_seed(1)
    mask = torch.rand(seeds, of.layout.prunable_count, generator=random) < 0.3
    weights = torch.randn(seeds, of.layout.size, generator=random)
    return Ticket(mask, weights, initial_ticket(of, range(seeds), CPU).buffers, 7)


def test_a_ticket_is_unchanged_for_images_of_the_same_shape_and_classes():
    source_ticket = ticket(network())
    assert reinitialized_parameters(network(), network()) == []
    assert transplant(source_ticket, network(), network(), initial_ticket(network(), (0, 1), CPU)) is source_ticket


@pytest.mark.parametrize(('model', 'output'), [
    ('lenet-300-100', 'output.'), ('conv-2', 'output.'), ('resnet20', 'classifier.')])
@pytest.mark.parametrize('classes', [2, 10])
def test_for_other_classes_only_the_output_layer_is_reinitialized_and_dense(model, output, classes):
    source, target = network((3, 8, 8), 4, model), network((3, 8, 8), classes, model)
    source_ticket, initial = ticket(source), initial_ticket(target, (8, 9), CPU)
    assert reinitialized_parameters(source, target) == [f'{output}weight', f'{output}bias']
    transplanted = transplant(source_ticket, source, target, initial)
    assert transplanted.iteration == 7 and transplanted.buffers is source_ticket.buffers
    for seed in range(2):
        old, new, reinitialized = (layout.unpack(weights[seed]) for layout, weights in (
            (source.layout, source_ticket.weights), (target.layout, transplanted.weights),
            (target.layout, initial.weights)))
        old_masks = source.layout.unpack(source_ticket.mask[seed])
        new_masks = target.layout.unpack(transplanted.mask[seed])
        for name, tensor in new.items():
            assert torch.equal(tensor, (reinitialized if name.startswith(output) else old)[name])
        for name, mask in new_masks.items():
            assert mask.all() if name.startswith(output) else torch.equal(mask, old_masks[name])
        assert transplanted_count(source_ticket.mask[seed], source, target) == int(transplanted.mask[seed].sum())


def test_images_of_another_shape_are_refused_with_both_shapes_and_the_layer():
    with pytest.raises(LthError, match=r'A ticket for images of 1×8×8 does not fit images of 3×10×10: dense1.weight is '
                                       r'300×64 in the source run and 300×300 here.*data.size=8 --set data.channels=1'):
        reinitialized_parameters(network(), network((3, 10, 10)))
    with pytest.raises(LthError, match='stem.0.weight is 16×1×3×3 in the source run and 16×3×3×3 here'):
        reinitialized_parameters(network(model='resnet20'), network((3, 8, 8), 5, 'resnet20'))


def test_an_output_layer_with_other_inputs_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'linear.py').write_text(
        'from torch import nn\n\n\ndef linear(shape, classes):\n'
        '    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))\n')
    with pytest.raises(LthError, match='1.weight is 4×64 in the source run and 5×81 here'):
        reinitialized_parameters(network(model='linear.py:linear'), network((1, 9, 9), 5, 'linear.py:linear'))
