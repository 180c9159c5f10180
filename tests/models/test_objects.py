"""Models given as Python objects: factories and modules, and the names they get."""
import copy
import functools

import pytest
import torch
from torch import nn

from lth.errors import LthError
from lth.models.network import Network
from lth.models.objects import describe_structure, register_model
from lth.models.registry import settings_class
from lth.registry import objects


def make_net(_shape: tuple[int, int, int], classes: int, *, width: int = 5) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))


def network(name: str, **settings: object) -> Network:
    return Network.of(settings_class(name)(name=name, **settings), (1, 8, 8), 4)


def test_a_factory_is_called_again_for_each_seed():
    net = network(register_model(make_net))
    assert not net.has_fixed_weights and net.has_user_code
    assert not torch.equal(net.initial_weights(0), net.initial_weights(1))
    assert torch.equal(net.initial_weights(1), net.initial_weights(1))


def test_keyword_only_arguments_of_a_factory_are_settings():
    assert network(register_model(make_net), width=7).layout.prunable_count == 64 * 7 + 7 * 4


def test_a_factory_may_be_a_lambda_a_class_or_a_partial():
    class Net(nn.Sequential):
        def __init__(self, shape, classes):
            super().__init__(make_net(shape, classes))

    for factory in (lambda shape, classes: make_net(shape, classes), Net, functools.partial(make_net, width=9)):
        assert network(register_model(factory)).layout.prunable_count > 0


def test_a_module_gives_every_seed_its_own_weights_and_is_not_changed():
    module = make_net((1, 8, 8), 4)
    before = copy.deepcopy(module.state_dict())
    net = network(register_model(module))
    assert net.has_fixed_weights
    expected = net.layout.pack(dict(module.named_parameters()))
    for seed in range(2):
        assert torch.equal(net.initial_weights(seed), expected)
    net.bind(net.initial_weights(0).add_(1), {})
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_changes_of_a_module_after_registration_have_no_effect():
    module = make_net((1, 8, 8), 4)
    net = network(register_model(module))
    before = net.initial_weights(0)
    nn.init.zeros_(module[1].weight)  # type: ignore[index]
    assert torch.equal(net.initial_weights(0), before)


def test_an_initializer_draws_the_weights_of_a_module_for_each_seed():
    net = network(register_model(make_net((1, 8, 8), 4)), initializer='kaiming-normal')
    assert not net.has_fixed_weights
    assert not torch.equal(net.initial_weights(0), net.initial_weights(1))


def test_names_of_modules_differ_with_a_weight_a_buffer_or_the_structure():
    module = make_net((1, 8, 8), 4)
    other_weight = copy.deepcopy(module)
    other_weight[1].weight.data[0, 0] += 1  # type: ignore[index]
    other_buffer = copy.deepcopy(module)
    other_buffer.register_buffer('steps', torch.tensor(3))
    other_layer = nn.Sequential(module[0], module[1], nn.Tanh(), module[3])  # type: ignore[index]
    names = list(map(register_model, (module, other_weight, other_buffer, other_layer)))
    assert len(set(names)) == 4
    assert register_model(copy.deepcopy(module)) == names[0]


def test_factories_without_source_code_have_names_and_structures_of_their_own():
    names: dict[str, object] = {}
    exec('from torch import nn\ndef make(shape, classes): return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))',
         names)
    name = register_model(names['make'])  # type: ignore[arg-type]
    assert name.startswith('object:make-') and objects.source_code(names['make']) == ''
    assert network(name).fingerprint != network(register_model(make_net)).fingerprint


def test_the_structure_has_no_memory_addresses():
    class Named(nn.Module):
        def extra_repr(self) -> str:
            return repr(object())

    assert describe_structure(None, Named()) == describe_structure(None, Named())


def test_what_is_no_model_and_a_module_that_cannot_be_copied_are_refused():
    class Uncopied(nn.Linear):
        def __deepcopy__(self, _memo):
            raise RuntimeError('not me')

    with pytest.raises(LthError, match='The model is of type int. Give the name of a model'):
        register_model(3)  # type: ignore[arg-type]
    with pytest.raises(LthError, match='Copying the model Uncopied raised RuntimeError: not me'):
        register_model(Uncopied(2, 2))


def test_an_object_of_another_process_is_asked_for():
    with pytest.raises(LthError, match=r'object:net-0000 is a Python object .* lth.open_run\(RUN, model='):
        settings_class('object:net-0000')
