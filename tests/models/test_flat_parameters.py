"""The layout of all parameters in one flat vector."""
import pytest
import torch
from torch import nn

from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.registry import MODELS


class Odd(nn.Module):
    """Layers that are easily overlooked: grouped, dilated, transposed and 1-d convolutions, and a 1×1 classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(4, 8, 3, groups=4)
        self.dilated = nn.Conv2d(8, 8, 3, dilation=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 6, 2)
        self.line = nn.Conv1d(3, 5, 3)
        self.classify = nn.Conv2d(6, 10, 1)


def test_the_weights_of_all_convolutions_and_dense_layers_are_prunable():
    names = [slot.name for slot in Layout.of(Odd()).prunable_slots]
    assert names == ['grouped.weight', 'dilated.weight', 'up.weight', 'line.weight', 'classify.weight']


def test_the_last_layer_is_the_output_layer_even_if_it_is_a_convolution():
    kinds = {slot.name: slot.kind for slot in Layout.of(Odd()).slots}
    assert kinds['classify.weight'] == 'output'
    assert kinds['norm.weight'] == 'other'


def test_the_order_is_prunable_weights_then_weights_kept_out_then_other_parameters():
    layout = Layout.of(MODELS.find('resnet20')((3, 32, 32), 10), ('output', 'shortcut'))
    order = [0 if slot.prunable else 1 if slot.kind != 'other' else 2 for slot in layout.slots]
    assert order == sorted(order) and set(order) == {0, 1, 2}
    assert [slot.start for slot in layout.slots] == [0, *[slot.stop for slot in layout.slots[:-1]]]


def test_pack_and_unpack_are_inverse():
    module = Odd()
    layout = Layout.of(module)
    parameters = dict(module.named_parameters())
    unpacked = layout.unpack(layout.pack(parameters))
    assert unpacked.keys() == parameters.keys()
    assert all(torch.equal(unpacked[name], parameters[name]) for name in parameters)


def test_views_share_memory_with_the_vector_and_convolutions_are_channels_last():
    layout = Layout.of(Odd())
    flat = torch.zeros(2, layout.size)
    view = layout.unpack(flat)['dilated.weight']
    view[1] = 3.
    assert flat[1].sum() == 3 * 8 * 8 * 9 and flat[0].sum() == 0
    assert view[0].is_contiguous(memory_format=torch.channels_last)


def test_a_mask_unpacks_to_the_prunable_tensors_only():
    layout = Layout.of(Odd(), ('classify',))
    mask = torch.ones(layout.prunable_count, dtype=torch.bool)
    assert 'classify.weight' not in layout.unpack(mask)
    assert torch.equal(layout.pack(layout.unpack(mask)), mask)


@pytest.mark.parametrize(('patterns', 'kept_out'), [
    (('output',), {'classify.weight'}),
    (('up',), {'up.weight'}),
    (('*d.weight',), {'grouped.weight', 'dilated.weight'})])
def test_layers_are_kept_out_by_kind_part_of_name_or_pattern(patterns, kept_out):
    layout = Layout.of(Odd(), patterns)
    assert {slot.name for slot in layout.slots if slot.kind != 'other' and not slot.prunable} == kept_out


def test_a_keep_out_pattern_that_matches_no_layer_is_an_error():
    with pytest.raises(LthError, match="no layer matches 'shortcuts'"):
        Layout.of(Odd(), ('shortcuts',))


def test_keep_out_shortcut_is_allowed_for_networks_without_shortcuts():
    assert Layout.of(Odd(), ('shortcut',)) == Layout.of(Odd())


def test_a_keep_out_pattern_that_matches_all_layers_is_an_error():
    with pytest.raises(LthError, match='nothing to prune'):
        Layout.of(Odd(), ('*',))


def test_a_module_without_prunable_weights_is_an_error():
    with pytest.raises(LthError, match='no convolution and no dense layer'):
        Layout.of(nn.Sequential(nn.BatchNorm2d(3)))


def test_density_counts_the_weights_kept_out_as_remaining_and_as_weights():
    layout = Layout.of(MODELS.find('resnet20')((3, 32, 32), 10), ('output', 'shortcut'))
    assert (layout.prunable_count, layout.weight_count) == (267_696, 270_896)
    assert layout.density(0) == 3_200 / 270_896


def test_the_projections_of_an_attention_layer_are_prunable():
    sizes = {slot.name: slot.size for slot in Layout.of(nn.MultiheadAttention(8, 2)).prunable_slots}
    assert sizes == {'in_proj_weight': 3 * 64, 'out_proj.weight': 64}
