"""Weights outside a mask get their old bits back, whatever a step did to them."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lth.training.engines.mask_hold import MaskHold

FLOATS = st.floats(width=32, allow_subnormal=False)


@settings(deadline=None)
@given(st.lists(st.tuples(FLOATS, FLOATS, st.booleans()), min_size=1, max_size=20), st.booleans(),
       st.sampled_from([torch.float32, torch.float64]))
def test_held_weights_keep_their_bits_and_trained_ones_keep_their_new_values(rows, fixed, dtype):
    before, after, trainable = zip(*rows)
    mask = torch.tensor([trainable])
    vector = torch.tensor([before], dtype=dtype)
    hold = MaskHold(vector)
    hold.begin(mask, fixed=fixed)
    vector.copy_(torch.tensor([after], dtype=dtype))
    hold.restore()
    integers = torch.int32 if dtype == torch.float32 else torch.int64
    expected = torch.where(mask, torch.tensor([after], dtype=dtype), torch.tensor([before], dtype=dtype))
    assert torch.equal(vector.view(integers), expected.view(integers))


@pytest.mark.parametrize('value', [0., -0., 0.37, float('nan')])
def test_a_weight_can_be_held_again_with_another_mask(value):
    vector = torch.tensor([[value, 1.]])
    hold = MaskHold(vector)
    for mask in ([[False, True]], [[True, True]], [[True, False]]):
        hold.begin(torch.tensor(mask), fixed=False)
        vector += 1
        hold.restore()
    assert torch.equal(vector.nan_to_num(9), torch.tensor([[value + 2, 3.]]).nan_to_num(9))
