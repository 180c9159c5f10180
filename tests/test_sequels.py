"""Tickets that go to other pictures: what fits, what is drawn anew, what is refused."""
import pytest
import torch

from lth import masks
from lth.errors import LthError
from lth.models import settings_of
from lth.network import Network
from lth.sequels import fitted, redrawn
from lth.task import State
from lth.tickets import Round, Ticket, drawn


def network(shape: tuple[int, int, int] = (1, 8, 8), classes: int = 4, model: str = 'lenet-300-100') -> Network:
    return Network.of(settings_of(model)(name=model), shape, classes)


def found(of: Network, seeds: tuple[int, ...], density: float) -> Round:
    dense = drawn(of, seeds, torch.device('cpu'))
    count = of.layout.prunable
    mask = masks.keep_best(dense.weights[:, :count].abs(), dense.mask, int(density * count), seeds=seeds)
    weights = masks.applied(mask, dense.weights)
    return Round(3, Ticket(mask, weights, dense.buffers, 0), State(weights, dense.buffers))


def test_a_ticket_goes_to_pictures_of_the_same_shape_and_classes_as_it_is():
    one = found(network(), (0,), 0.1)
    assert redrawn(network(), network()) == [] and fitted(one, network(), network(), (0,)) is one


@pytest.mark.parametrize('model', ['lenet-300-100', 'conv-2', 'resnet20'])
def test_for_other_classes_the_output_layer_alone_is_drawn_anew_with_as_many_weights(model):
    theirs, ours = network((3, 8, 8), 4, model), network((3, 8, 8), 10, model)
    one = found(theirs, (0, 5), 0.1)
    anew = redrawn(theirs, ours)
    outputs = [slot.name for slot in theirs.layout.slots if slot.kind == 'output']
    assert {name.rpartition('.')[0] for name in anew} == {outputs[0].rpartition('.')[0]}
    there = fitted(one, theirs, ours, (0, 5))
    before, after = (layout.unpack(weights) for layout, weights in (
        (theirs.layout, one.ticket.weights), (ours.layout, there.ticket.weights)))
    old, new = theirs.layout.unpack(one.ticket.mask), ours.layout.unpack(there.ticket.mask)
    assert all(torch.equal(before[name], after[name]) for name in before if name not in anew)
    assert all(torch.equal(old[name], new[name]) for name in old if name not in anew)
    for name in outputs:
        assert old[name].flatten(1).sum(1).tolist() == new[name].flatten(1).sum(1).tolist()
        assert not after[name][~new[name]].any() and (after[name][new[name]] != 0).all()
    assert not torch.equal(new[outputs[0]][0], new[outputs[0]][1])
    alone = fitted(found(theirs, (5,), 0.1), theirs, ours, (5,))
    assert torch.equal(alone.ticket.weights[0], there.ticket.weights[1])


def test_a_dense_output_layer_stays_dense_and_one_with_fewer_weights_than_were_kept_is_full():
    dense = fitted(found(network(), (0,), 1.), network(), network(classes=10), (0,))
    assert dense.ticket.mask.all()
    many = found(network(classes=10), (0,), 0.9)
    fewer = fitted(many, network(classes=10), network(classes=2), (0,))
    assert network(classes=2).layout.unpack(fewer.ticket.mask)['output.weight'].all()


def test_an_output_layer_that_sees_other_inputs_is_refused_as_any_other_layer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'alone.py').write_text('from torch import nn\n\ndef layer(shape, classes):\n    return nn.Sequential('
                                       'nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))\n')
    theirs, ours = (network((1, side, side), model='alone.py:layer') for side in (8, 9))
    with pytest.raises(LthError, match=r'pictures of 1×8×8 does not fit pictures of 1×9×9: 1.weight is 4×64 there'):
        redrawn(theirs, ours)


def test_pictures_of_another_shape_are_refused_with_both_and_the_layer():
    with pytest.raises(LthError, match=r'found on pictures of 1×8×8 does not fit pictures of 3×10×10: dense1.weight is '
                                       r'300×64 there and 300×300 here.*data.size=8 --set data.channels=1'):
        redrawn(network(), network((3, 10, 10)))
