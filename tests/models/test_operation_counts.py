"""Multiply-adds per image: counted by hand for LeNet, Conv-2 and ResNet-20, and for layers of all kinds."""
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.models.operation_counts import weight_uses
from lth.models.registry import settings_class


def network(name: str, shape: tuple[int, int, int]) -> Network:
    return Network.of(settings_class(name)(name=name), shape, 10)


def dense_operations(counted: Network) -> int:
    sizes = {slot.name: slot.size for slot in counted.layout.slots}
    return sum((uses or 0) * sizes[name] for name, uses in counted.weight_uses.items())


def test_multiply_adds_of_lenet_are_its_weights():
    lenet = network('lenet-300-100', (1, 28, 28))
    assert set(lenet.weight_uses.values()) == {1}
    assert dense_operations(lenet) == 784 * 300 + 300 * 100 + 100 * 10 == 266_200


def test_multiply_adds_of_conv_2_are_its_weights_times_the_positions_of_each_convolution():
    first, second = 3 * 64 * 9 * 32 * 32, 64 * 64 * 9 * 32 * 32
    dense = 64 * 16 * 16 * 256 + 256 * 256 + 256 * 10
    assert dense_operations(network('conv-2', (3, 32, 32))) == first + second + dense == 43_780_608


def test_multiply_adds_of_resnet_20_include_strides_and_shortcuts():
    stem = 3 * 16 * 9 * 32 ** 2
    stages = [6 * 16 * 16 * 9 * 32 ** 2,
              (16 * 32 * 9 + 5 * 32 * 32 * 9 + 16 * 32) * 16 ** 2,
              (32 * 64 * 9 + 5 * 64 * 64 * 9 + 32 * 64) * 8 ** 2]
    assert dense_operations(network('resnet20', (3, 32, 32))) == stem + sum(stages) + 64 * 10 == 40_813_184


class _Flattened(nn.Sequential):
    """Layers, then the mean of everything, so that any layers end in logits."""

    def forward(self, images: Tensor) -> Tensor:  # pylint: disable=arguments-renamed
        features: Tensor = super().forward(images)
        return features.flatten(1).mean(1, keepdim=True)


@pytest.mark.parametrize('layer, uses', [
    (nn.Conv2d(4, 6, 3, padding=1, groups=2), 6 * 5),
    (nn.Conv2d(4, 4, 3, stride=2, dilation=2, padding=2), 3 * 3),
    (nn.Conv2d(4, 4, 2, padding=1, padding_mode='circular'), 7 * 6),
    (nn.ConvTranspose2d(4, 3, 4, stride=2), 6 * 5),
    (nn.Linear(5, 2), 4 * 6)])
def test_each_weight_is_multiplied_once_for_each_position_of_its_layer(layer, uses):
    assert weight_uses(_Flattened(layer), 'net', (4, 6, 5)) == {'0.weight': uses}


def test_a_layer_that_is_called_twice_multiplies_its_weights_twice():
    shared = nn.Linear(5, 5)
    assert weight_uses(_Flattened(shared, nn.ReLU(), shared), 'net', (1, 1, 5)) == {'0.weight': 2}


class _Attention(nn.Module):
    def __init__(self, *, keys: int, key_width: int = 8) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, kdim=key_width, vdim=key_width, batch_first=True)
        self.keys, self.key_width = keys, key_width

    def forward(self, images: Tensor) -> Tensor:
        tokens = images.flatten(1).unflatten(1, (7, 8))
        keys = torch.zeros(len(images), self.keys, self.key_width)
        result: Tensor = self.attention(tokens, tokens if self.keys == 7 else keys, keys)[0]
        return result.flatten(1)


def test_projections_of_attention_are_multiplied_once_for_each_token():
    counts = weight_uses(_Attention(keys=7).eval(), 'net', (1, 7, 8))
    assert counts == {'attention.in_proj_weight': 7, 'attention.out_proj.weight': 7}


def test_separate_projections_of_attention_are_multiplied_for_their_own_tokens():
    counts = weight_uses(_Attention(keys=3, key_width=4).eval(), 'net', (1, 7, 8))
    assert counts == {'attention.q_proj_weight': 7, 'attention.k_proj_weight': 3, 'attention.v_proj_weight': 3,
                      'attention.out_proj.weight': 7}


def test_one_projection_of_queries_and_fewer_keys_is_not_counted():
    assert 'attention.in_proj_weight' not in weight_uses(_Attention(keys=3).eval(), 'net', (1, 7, 8))


class _Sequence(nn.Module):
    """Rows of an image as a sequence."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.positions = layer, nn.Embedding(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        rows = images.squeeze(1) + self.positions(torch.arange(6))
        result: Tensor = self.layer(rows)[0]
        return result.flatten(1)[:, :2]


@pytest.mark.parametrize('kind', [nn.LSTM, nn.GRU, nn.RNN])
def test_weights_of_recurrent_layers_are_multiplied_in_each_step_and_rows_of_embeddings_never(kind):
    counts = weight_uses(_Sequence(kind(5, 3, num_layers=2, bidirectional=True, batch_first=True)), 'net', (1, 6, 5))
    assert counts.pop('positions.weight') == 0
    assert len(counts) == 8 and set(counts.values()) == {6}


class _Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        state = None
        for row in images.squeeze(1).unbind(1):
            state = self.cell(row, state)
        assert state is not None
        return state[0]


def test_a_recurrent_cell_multiplies_its_weights_once_in_each_call():
    assert weight_uses(_Cell(), 'net', (1, 6, 5)) == {'cell.weight_ih': 6, 'cell.weight_hh': 6}


class _Packed(_Sequence):
    def forward(self, images: Tensor) -> Tensor:
        lengths = torch.tensor([4, 4])
        packed = nn.utils.rnn.pack_padded_sequence(images.squeeze(1), lengths, batch_first=True)
        return self.layer(packed)[1][0][0]


def test_packed_sequences_are_counted_by_their_lengths():
    counts = weight_uses(_Packed(nn.LSTM(5, 3, batch_first=True)), 'net', (1, 6, 5))
    assert counts == {'layer.weight_ih_l0': 4, 'layer.weight_hh_l0': 4}


class _ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense, self.unused = nn.Linear(6, 2), nn.Linear(6, 2)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.dense.weight.t()


def test_weights_that_a_model_multiplies_in_another_way_are_unknown_and_unused_ones_are_0():
    module = _ByHand().eval()
    lenet = network('lenet-300-100', (1, 2, 3))
    by_hand = replace(lenet, module=module, layout=Layout.of(module), unused=('unused.weight', 'unused.bias'))
    assert by_hand.weight_uses == {'dense.weight': None, 'unused.weight': 0}


def test_counting_changes_neither_the_module_nor_the_random_numbers():
    resnet = network('resnet20', (3, 8, 8))
    before = {name: tensor.clone() for name, tensor in resnet.module.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert math.prod(map(bool, resnet.weight_uses.values()))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(before[name], tensor) for name, tensor in resnet.module.state_dict().items())
