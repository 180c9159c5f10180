"""The fused optimizer equals torch.optim and holds masked weights bit for bit. Triton's interpreter runs the kernels;
its time is proportional to the number of blocks, about 10 ms each.
"""
import itertools

import pytest
import torch

from lth.models.flat_parameters import Layout
from lth.recipes.schema import Adam, AdamW, Sgd
from lth.training.engines.cuda.branches import aligned_rows
from lth.training.engines.cuda.fused_optimizer import FusedOptimizer, can_fuse

ADAM, ADAM_DECAY = {'name': 'adam'}, {'name': 'adam', 'weight_decay': 0.01, 'betas': (0., 0.9)}
ADAMW = {'name': 'adamw', 'weight_decay': 0.05}
PLAIN, MOMENTUM = {'name': 'sgd'}, {'name': 'sgd', 'momentum': 0.9, 'weight_decay': 1e-3}
NESTEROV = MOMENTUM | {'nesterov': True}
ALL = [ADAM, ADAM_DECAY, ADAMW, PLAIN, MOMENTUM, NESTEROV]
RATE = 0.01

pytestmark = pytest.mark.usefixtures('interpreted_kernels')


def settings_of(options):
    kind = {'adam': Adam, 'adamw': AdamW, 'sgd': Sgd}[options['name']]
    return kind(learning_rate=RATE, **options)


def torch_optimizer(settings, parameters):
    if isinstance(settings, Sgd):
        return torch.optim.SGD(
            parameters, RATE, settings.momentum, weight_decay=settings.weight_decay, nesterov=settings.nesterov)
    kind = torch.optim.Adam if isinstance(settings, Adam) else torch.optim.AdamW
    return kind(parameters, RATE, settings.betas, settings.epsilon, settings.weight_decay)


def random_numbers(seed=0):
    return torch.Generator().manual_seed(seed)


def random_mask(shape):
    return torch.rand(shape, generator=random_numbers(3)) < 0.5


def bits(tensor):
    return tensor.contiguous().view(torch.int32)


def fused(options, vector, parameters=None, **extra):
    return FusedOptimizer(settings_of(options), parameters or [vector], vector, torch.tensor(RATE), **extra)


def train_both(options, *, replicates, size, steps, masked, has_shadow):
    """Train a vector and its copy by torch for some steps; assert that all that must be equal is."""

    random = random_numbers()
    vector = torch.randn(replicates, size, generator=random)
    mask = random_mask(vector.shape) if masked else torch.ones_like(vector, dtype=torch.bool)
    shadow = vector[:, :size // 2].bfloat16() if has_shadow else None
    optimizer, expected, initial = fused(options, vector, shadow=shadow), vector.clone(), vector.clone()
    reference = torch_optimizer(settings_of(options), [expected])
    optimizer.hold(mask, fixed=True)
    for _ in range(steps):
        vector.grad = torch.randn(vector.shape, generator=random)
        expected.grad = vector.grad.clone()
        optimizer.step()
        reference.step()
        expected[~mask] = initial[~mask]
    assert (vector - expected).norm() <= 1e-6 * expected.norm()
    assert torch.equal(bits(vector)[~mask], bits(initial)[~mask])
    assert (vector != initial)[mask].all()
    for name, tensor in optimizer.state.items():
        torch.testing.assert_close(tensor.flatten()[0] if name == 'step' else tensor, reference.state[expected][name])
    if has_shadow:
        assert torch.equal(shadow, vector[:, :size // 2].bfloat16())


@pytest.mark.parametrize('options', [ADAM, ADAMW, NESTEROV], ids=str)
def test_200_steps_equal_torch_and_hold_masked_weights(options):
    train_both(options, replicates=1, size=512, steps=200, masked=True, has_shadow=False)


@pytest.mark.parametrize('options', ALL, ids=str)
def test_a_few_steps_of_stacked_replicates_with_a_bfloat16_copy_equal_torch(options):
    train_both(options, replicates=3, size=1030, steps=3, masked=True, has_shadow=True)


@pytest.mark.slow
@pytest.mark.parametrize(('options', 'replicates', 'masked', 'has_shadow'), [
    *itertools.product(ALL, (1, 3), (False, True), (False, True))], ids=str)
def test_200_steps_equal_torch_in_all_combinations(options, replicates, masked, has_shadow):
    train_both(options, replicates=replicates, size=700, steps=200, masked=masked, has_shadow=has_shadow)


@pytest.mark.parametrize('options', [ADAM, MOMENTUM], ids=str)
@pytest.mark.parametrize('value', [float('nan'), float('inf'), -0., 1e-42])
def test_held_weights_keep_their_bits_also_those_that_are_no_numbers(options, value):
    vector = torch.full((1, 6), value)
    bits(vector)[0, 0] ^= 1
    before, mask = bits(vector).clone(), torch.tensor([[False, False, True, False, True, False]])
    optimizer = fused(options, vector)
    optimizer.hold(mask, fixed=True)
    vector.grad = torch.ones_like(vector)
    optimizer.step()
    assert torch.equal(bits(vector)[~mask], before[~mask])


def test_gradients_of_separate_parameters_are_found_in_any_type_and_order():
    module = torch.nn.Sequential(torch.nn.Conv2d(8, 16, 3), torch.nn.BatchNorm2d(16), torch.nn.Linear(5, 3))
    layout = Layout.of(module)
    vector = aligned_rows(torch.randn(2, layout.size, generator=random_numbers()))
    shadow = aligned_rows(vector[:, :layout.weight_count].bfloat16())
    parameters = []
    for row in range(2):
        for slot in layout.slots:
            parameters.append(slot.view((shadow if slot.kind != 'other' else vector)[row]))
            gradient = torch.randn(slot.shape, generator=random_numbers(slot.start + row)).to(parameters[-1].dtype)
            # The gradient of the convolution has another order in memory than its parameter in the first replicate.
            parameters[-1].grad = gradient if row == 0 else torch.empty_like(parameters[-1]).copy_(gradient)
    gradients = torch.stack([
        layout.pack({slot.name: parameter.grad.float() for slot, parameter in zip(layout.slots, part)})
        for part in (parameters[:len(layout.slots)], parameters[len(layout.slots):])])
    expected = vector - RATE * gradients
    fused(PLAIN, vector, parameters, shadow=shadow).step()
    torch.testing.assert_close(vector, expected)
    assert torch.equal(shadow, vector[:, :layout.weight_count].bfloat16())


def test_gradients_of_stacked_parameters_may_have_gaps_between_replicates():
    vector = torch.randn(3, 30, generator=random_numbers())
    gradient = torch.randn(3, 40, generator=random_numbers(1))
    parameters = [vector[:, :20].unflatten(1, (4, 5)), vector[:, 20:]]
    parameters[0].grad, parameters[1].grad = gradient[:, 1:21].unflatten(1, (4, 5)), gradient[:, 30:].clone()
    expected = vector - RATE * torch.cat([gradient[:, 1:21], gradient[:, 30:]], 1)
    fused(PLAIN, vector, parameters).step()
    torch.testing.assert_close(vector, expected)


def test_a_projection_acts_inside_the_mask_only():
    vector = torch.tensor([[-1., -1., 2., 2.]])
    optimizer = fused(PLAIN, vector)
    optimizer.hold(torch.tensor([[True, False, True, False]]), fixed=False)
    vector.grad = torch.zeros_like(vector)
    optimizer.step(lambda learned: learned.clamp_(0, 1))
    assert vector.tolist() == [[0, -1, 1, 2]]


def test_the_learning_rate_can_be_set_between_steps():
    vector = torch.zeros(1, 4)
    optimizer = fused(PLAIN, vector)
    vector.grad = torch.ones_like(vector)
    optimizer.set_rate(0.5)
    optimizer.step()
    assert vector.tolist() == [[-0.5] * 4]


def test_captured_steps_get_their_tables_after_the_capture(monkeypatch):
    vector = torch.zeros(1, 4)
    optimizer = fused(PLAIN, vector)
    table = optimizer._table
    monkeypatch.setattr(table, '_device', torch.device('cuda'))
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    gradients = [torch.ones(1, 4), torch.full((1, 4), 2.)]
    tables = [table.table([gradient]) for gradient in gradients]
    optimizer.after_capture()
    assert [rows[0, 0].item() for rows in tables] == [gradient.data_ptr() for gradient in gradients]
    assert tables[0].data_ptr() != tables[1].data_ptr()


def test_only_float32_vectors_are_fused(monkeypatch):
    assert can_fuse(torch.device('cpu'))
    with monkeypatch.context() as patch:  # undone before the fixture that set the variable
        patch.delenv('TRITON_INTERPRET')
        assert not can_fuse(torch.device('cpu'))
