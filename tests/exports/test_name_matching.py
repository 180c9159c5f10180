"""Tickets fit modules whose layers have other names, if it is certain which layer is which."""
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lth.errors import LthError, LthWarning
from lth.exports.torch_modules import NamedTicket


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 4))


def deep() -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(6, 6) for _ in range(3)))


def named(module: nn.Sequential, *names: str) -> nn.Module:
    """The same layers under these names, in reverse order."""

    layers = [layer for layer in module if not isinstance(layer, nn.ReLU)]
    return nn.ModuleDict(dict(reversed(list(zip(names, layers, strict=True)))))


def ticket_of(module: nn.Sequential) -> NamedTicket:
    prune.random_unstructured(module[0], 'weight', amount=10)  # type: ignore[no-untyped-call]
    return NamedTicket.of(module)


def require_same(ticket: NamedTicket, module: nn.Module, **names: str) -> None:
    state = module.state_dict()
    for layer, new in names.items():
        for name, tensor in ticket.weights.items():
            if name.startswith(f'{layer[1:]}.'):
                assert torch.equal(state[name.replace(layer[1:], new, 1)], tensor)


def test_layers_with_different_shapes_are_matched_with_a_warning():
    ticket, module = ticket_of(small()), named(small(), 'hidden', 'norm', 'last')
    with pytest.warns(LthWarning, match='have other names, and were matched by their shapes: 0.bias is hidden'):
        ticket.apply_to(module)
    require_same(ticket, module, _0='hidden', _2='norm', _3='last')


def test_layers_with_equal_shapes_need_names():
    ticket, module = ticket_of(deep()), named(deep(), 'a', 'b', 'c')
    with pytest.raises(LthError, match=r'c.weight is absent in the ticket and of shape \(6, 6\) in the module.*names='):
        ticket.apply_to(module)
    ticket.apply_to(module, names={'0': 'a', '1': 'b', '2': 'c'})
    require_same(ticket, module, _0='a', _1='b', _2='c')


def test_names_of_tensors_and_of_outer_layers_work_and_the_longest_decides():
    ticket = NamedTicket({}, {'net.0.weight': torch.ones(2, 2), 'net.1.weight': torch.zeros(2, 2)})
    module = nn.ModuleDict({'body': nn.ModuleDict({'0': nn.Linear(2, 2, bias=False)}),
                            'head': nn.Linear(2, 2, bias=False)})
    ticket.apply_to(module, names={'net': 'body', 'net.1.weight': 'head.weight'})
    assert module.get_parameter('body.0.weight').all() and not module.get_parameter('head.weight').any()


def test_pruning_holds_the_masks_under_the_names_of_the_module():
    ticket, module = ticket_of(deep()), named(deep(), 'a', 'b', 'c')
    ticket.prune(module, names={'0': 'c', '1': 'b', '2': 'a'})
    assert torch.equal(NamedTicket.of(module).masks['c.weight'], ticket.masks['0.weight'])


@pytest.mark.parametrize(('names', 'says'), [
    ({'9': 'a'}, "names: the ticket has no layer or tensor '9'"),
    ({'0': 'aa'}, "names: the module has no layer or tensor 'aa'"),
    ({'0': 'a', '1': 'a', '2': 'c'}, 'names: 0.bias and 1.bias of the ticket would both be a.bias'),
    ({'0': 'a'}, 'c.weight is absent in the ticket'),
    ({0: 'a'}, 'names: expected a dictionary of strings'), (['a'], 'names: expected a dictionary of strings')])
def test_names_that_do_not_fit_are_errors_that_name_them(names, says):
    module = named(deep(), 'a', 'b', 'c')
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(LthError, match=says):
        ticket_of(deep()).apply_to(module, names=names)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_a_name_for_a_layer_of_another_shape_is_an_error_with_both_names():
    module = named(small(), 'hidden', 'norm', 'last')
    with pytest.raises(LthError, match=r'0.bias is of shape \(5,\) in the ticket and of shape \(4,\) in the module, as '
                                       'last.bias'):
        ticket_of(small()).apply_to(module, names={'0': 'last', '2': 'norm', '3': 'hidden'})


class Compiled(nn.Module):
    """A module as torch.compile returns it, without the seconds that the import of the compiler takes."""

    def __init__(self, inner):
        super().__init__()
        self._orig_mod = inner


@pytest.mark.parametrize('wrap', [
    Compiled, nn.DataParallel, lambda module: nn.DataParallel(Compiled(module)),
    lambda module: nn.Sequential(Compiled(module[0]), *list(module)[1:])])
def test_compiled_and_parallel_modules_have_the_names_of_the_modules_in_them(wrap):
    ticket, inner = ticket_of(small()), small()
    module = wrap(inner)
    assert ticket.prune(module) is module
    require_same(ticket, inner, _2='2', _3='3')
    again = NamedTicket.of(module)
    assert again.weights.keys() == ticket.weights.keys()
    assert torch.equal(again.masks['0.weight'], ticket.masks['0.weight'])


def test_a_shared_weight_fits_under_any_of_its_names():
    def tied(first: str, second: str) -> nn.Module:
        layers = nn.ModuleDict({first: nn.Linear(3, 3, bias=False), second: nn.Linear(3, 3, bias=False)})
        layers[second].weight = layers[first].weight
        return layers
    ticket = NamedTicket({}, {'a.weight': torch.full((3, 3), 2.)})
    module = ticket.apply_to(tied('b', 'a'))
    assert torch.equal(module.get_parameter('b.weight'), ticket.weights['a.weight'])
