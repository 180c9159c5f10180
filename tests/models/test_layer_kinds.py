"""Which weights are prunable: packed and shared tensors once, recurrent layers and embeddings on request."""
import pytest
import torch
from torch import nn

from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.layer_kinds import available_kinds, layer_kinds


class Rows(nn.Module):
    """Rows of an image as a sequence, with learned positions."""

    def __init__(self, recurrent: nn.Module, width: int) -> None:
        super().__init__()
        self.positions, self.recurrent, self.output = nn.Embedding(8, 8), recurrent, nn.Linear(width, 4)


class Tied(nn.Module):
    """An embedding whose weight is also that of the classifier, which is registered before or after it."""

    def __init__(self, *, embedding_first: bool) -> None:
        super().__init__()
        hidden, embedding, classifier = nn.Linear(5, 6), nn.Embedding(4, 6), nn.Linear(6, 4)
        classifier.weight = embedding.weight
        self.hidden = hidden
        for name, layer in sorted({'embedding': embedding, 'classifier': classifier}.items(), reverse=embedding_first):
            self.add_module(name, layer)


def test_recurrent_layers_and_embeddings_are_pruned_only_if_a_recipe_asks_for_them():
    net = Rows(nn.LSTM(8, 5), 5)
    assert [slot.name for slot in Layout.of(net).prunable_slots] == ['output.weight']
    sizes = {slot.name: slot.size for slot in Layout.of(net, also_prune=['recurrent', 'embedding']).prunable_slots}
    # Four gates of 5 units, which read 8 inputs and 5 states.
    assert sizes == {'positions.weight': 64, 'recurrent.weight_ih_l0': 4 * 5 * 8, 'recurrent.weight_hh_l0': 4 * 5 * 5,
                     'output.weight': 20}


def test_without_a_request_the_layout_is_as_before():
    net = Rows(nn.LSTM(8, 5), 5)
    assert Layout.of(net).weight_count == 20
    assert Layout.of(net, also_prune=['recurrent']).weight_count == 20 + 160 + 100


@pytest.mark.parametrize(('layer', 'names'), [
    (nn.GRU(8, 5, num_layers=2), {'weight_ih_l0', 'weight_hh_l0', 'weight_ih_l1', 'weight_hh_l1'}),
    (nn.RNN(8, 5, bidirectional=True),
     {'weight_ih_l0', 'weight_hh_l0', 'weight_ih_l0_reverse', 'weight_hh_l0_reverse'}),
    (nn.LSTM(8, 5, proj_size=3, bias=False), {'weight_ih_l0', 'weight_hh_l0', 'weight_hr_l0'}),
    (nn.LSTMCell(8, 5), {'weight_ih', 'weight_hh'}), (nn.GRUCell(8, 5), {'weight_ih', 'weight_hh'})])
def test_all_matrices_of_a_recurrent_layer_are_weights_and_its_biases_are_not(layer, names):
    kinds = layer_kinds(Rows(layer, 5), also_prune=['recurrent'])
    assert {name.removeprefix('recurrent.') for name, kind in kinds.items() if kind == 'recurrent'} == names


def test_requested_kinds_can_be_kept_out_by_kind_or_name():
    net = Rows(nn.LSTM(8, 5), 5)
    kept_in = Layout.of(net, ['embedding', '*_hh_*'], also_prune=['recurrent', 'embedding']).prunable_slots
    assert [slot.name for slot in kept_in] == ['recurrent.weight_ih_l0', 'output.weight']


def test_a_kind_that_the_network_does_not_have_is_refused():
    with pytest.raises(LthError, match='also_prune: Linear has no recurrent layer. Leave recurrent out'):
        Layout.of(nn.Linear(3, 2), also_prune=['recurrent'])


def test_recurrent_weights_that_are_computed_from_others_are_refused():
    net = Rows(nn.utils.parametrizations.weight_norm(nn.LSTM(8, 5), 'weight_hh_l0'), 5)
    with pytest.raises(LthError, match='the weight of recurrent is computed from other parameters'):
        Layout.of(net, also_prune=['recurrent'])


@pytest.mark.parametrize('embedding_first', [True, False])
def test_a_tensor_of_an_embedding_and_the_classifier_is_one_weight_of_the_output_layer(embedding_first):
    net = Tied(embedding_first=embedding_first)
    name = 'embedding.weight' if embedding_first else 'classifier.weight'
    for also_prune in ([], ['embedding']):
        layout = Layout.of(net, also_prune=also_prune)
        assert {slot.name: (slot.kind, slot.size) for slot in layout.prunable_slots} == {
            'hidden.weight': ('dense', 30), name: ('output', 24)}
        assert layout.size == 30 + 6 + 24 + 4


def test_packed_projections_of_attention_are_one_weight_and_its_views_are_those_of_torch():
    attention = nn.MultiheadAttention(8, 2)
    layout = Layout.of(attention)
    flat = layout.pack({name: tensor.detach() for name, tensor in attention.named_parameters()})
    assert [slot.name for slot in layout.prunable_slots] == ['in_proj_weight', 'out_proj.weight']
    assert torch.equal(layout.unpack(flat)['in_proj_weight'], attention.in_proj_weight)


def test_the_kinds_that_a_recipe_could_ask_for_are_those_of_the_module():
    assert available_kinds(Rows(nn.LSTM(8, 5), 5)) == ['recurrent', 'embedding']
    assert available_kinds(nn.Sequential(nn.GRUCell(3, 2))) == ['recurrent']
    assert not available_kinds(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)))
