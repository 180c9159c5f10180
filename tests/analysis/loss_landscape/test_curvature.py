"""lth stability --curvature: Hessians of kept weights compared with one computed in another way, distances by hand."""
import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.func import functional_call, hessian

import lth as package
from lth import rng
from lth.analysis.figures import FIGURES
from lth.analysis.loss_landscape import curvature as measuring
from lth.analysis.loss_landscape.curvature import curvature_of
from lth.analysis.loss_landscape.curvature_files import CURVATURES, Curvature, MeasuredRound
from lth.analysis.loss_landscape.hessian import PROBES, hessian_product, spectrum
from lth.analysis.plotting import figure_set
from lth.analysis.plotting.series import NoData
from lth.errors import LthError
from lth.experiments.open_run import open_run
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.pruning.tickets import Round, Ticket, dense_ticket, train_ticket
from lth.runs.checked_json import encode_checked
from lth.runs.run_path import RunPath, parse_run_path
from lth.training.engines.metrics import training_batches
from tests.conftest import make_task, mlp_task
from tests.printed_json import printed_json

MEASURED = MeasuredRound(seed=0, round=1, images=50)
FOUND = Curvature(50, 3.5, 20.25, 0.5, 2., 4., 0.125)


def tiny():
    """A network of 8, 4 and 2 units with its weights, and two batches of digits of different sizes."""

    task = mlp_task(make_task(shape=(1, 2, 4)), 4, classes=2)
    images, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(images[:30, 20:28] / 16, dtype=torch.float32).view(30, 1, 2, 4)
    targets = torch.tensor(labels[:30] % 2)
    weights = torch.randn(task.network.layout.size, generator=torch.Generator().manual_seed(2))
    return task.network, weights, [(inputs[:20], targets[:20]), (inputs[20:], targets[20:])]


def full_hessian(network, weights, batches) -> torch.Tensor:
    """The Hessian of the mean loss with respect to both weight matrices, by torch.func: (P, P)."""

    inputs, targets = (torch.cat(parts) for parts in zip(*batches))
    tensors = network.layout.unpack(weights)
    names = [slot.name for slot in network.layout.prunable_slots]
    sizes = [tensors[name].numel() for name in names]

    def loss(vector):
        parts = {name: part.view(tensors[name].shape) for name, part in zip(names, vector.split(sizes))}
        return F.cross_entropy(functional_call(network.module, {**tensors, **parts}, (inputs,)), targets)
    return hessian(loss)(torch.cat([tensors[name].flatten() for name in names])).double()


def test_products_with_the_hessian_equal_those_of_torch_func_restricted_to_kept_weights():
    network, weights, batches = tiny()
    expected = full_hessian(network, weights, batches)
    mask = torch.rand(len(expected), generator=torch.Generator().manual_seed(3)) < 0.6
    product = hessian_product(network, weights, {}, mask, batches)
    vectors = torch.eye(int(mask.sum()), dtype=torch.float64)
    actual = torch.stack([product(vector) for vector in vectors])
    assert len(expected) == 8 * 4 + 4 * 2 and expected.abs().max() > 1e-3
    assert torch.allclose(actual, expected[mask][:, mask], atol=1e-6)


class Sequences(nn.Module):
    """Rows as tokens, an LSTM and attention, whose CPU kernels torch cannot differentiate forwards."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.output = nn.LSTM(8, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        states = self.lstm(images.squeeze(1))[0]
        logits: torch.Tensor = self.output(F.scaled_dot_product_attention(states, states, states).mean(1))
        return logits


def test_products_with_the_hessian_of_an_lstm_and_attention_equal_difference_quotients():
    module, settings = Sequences(), make_task().network.settings
    layout = Layout.of(module, also_prune=['recurrent'])
    network = Network(module, layout, (1, 8, 8), 3, settings)
    generator = torch.Generator().manual_seed(4)
    weights = torch.randn(layout.size, generator=generator) / 2
    inputs, targets = torch.rand(12, 1, 8, 8, generator=generator), torch.randint(3, (12,), generator=generator)
    names = [slot.name for slot in layout.prunable_slots]

    def gradient(vector: torch.Tensor) -> torch.Tensor:
        tensors = {name: part.double().requires_grad_() for name, part in layout.unpack(vector).items()}
        loss = F.cross_entropy(functional_call(module.double(), tensors, (inputs.double(),)), targets)
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, [tensors[name] for name in names])])
    count, direction = layout.prunable_count, torch.zeros(layout.size, dtype=torch.float64)
    direction[:count] = torch.randn(count, generator=generator, dtype=torch.float64)
    forwards, backwards = (gradient(weights.double() + step * direction) for step in (1e-5, -1e-5))
    module.float()
    product = hessian_product(network, weights, {}, torch.ones(count, dtype=torch.bool), [(inputs, targets)])
    assert torch.allclose(product(direction[:count]), (forwards - backwards) / 2e-5, atol=1e-5)


def test_small_hessians_have_their_exact_eigenvalue_and_trace():
    network, weights, batches = tiny()
    mask = torch.ones(40, dtype=torch.bool)
    found = spectrum(hessian_product(network, weights, {}, mask, batches), 40, torch.Generator())
    expected = full_hessian(network, weights, batches)
    assert found.eigenvalue == pytest.approx(float(torch.linalg.eigvalsh(expected)[-1]), abs=1e-5)
    assert found.trace == pytest.approx(float(expected.trace()), abs=1e-5) and found.trace_error == 0


def test_large_matrices_have_an_eigenvalue_by_lanczos_and_an_estimated_trace():
    random = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(120, 120, generator=random, dtype=torch.float64)).Q
    values = torch.linspace(-9, 5, 120, dtype=torch.float64)  # the largest is not the one of largest magnitude
    matrix = basis @ torch.diag(values) @ basis.T
    found = spectrum(lambda vector: matrix @ vector, 120, random)
    assert found.eigenvalue == pytest.approx(5, rel=1e-3)
    assert found.trace_error > 0 and abs(found.trace - float(values.sum())) < 4 * found.trace_error
    diagonal = spectrum(lambda vector: values * vector, 120, random)
    assert diagonal.trace == pytest.approx(float(values.sum())) and diagonal.trace_error == pytest.approx(0, abs=1e-9)


def test_a_matrix_of_zeros_has_no_curvature():
    assert spectrum(lambda vector: vector * 0, PROBES + 1, torch.Generator()) == (0, 0, 0)


def test_a_matrix_that_is_not_finite_is_refused():
    for count in (3, PROBES + 1):
        with pytest.raises(LthError, match='is not finite'):
            spectrum(lambda vector: vector * torch.inf, count, torch.Generator())


def trained_round(task, *, density: float) -> Round:
    """A ticket that keeps this share of the weights, after its training."""

    dense = dense_ticket(task)
    mask = torch.rand(dense.mask.shape, generator=torch.Generator().manual_seed(1)) < density
    weights = dense.weights.clone()
    weights[:, :mask.shape[1]] *= mask
    ticket = Ticket(mask, weights, dense.buffers, 0)
    return Round(1, ticket, train_ticket(task, ticket))


def test_distance_and_flips_are_those_of_kept_weights():
    task = make_task()
    round_ = trained_round(task, density=0.3)
    found = curvature_of(task, round_, images=20)
    mask = round_.ticket.mask[0]
    start, end = (vector[0, :len(mask)][mask].double() for vector in (round_.ticket.weights, round_.trained.weights))
    assert found.distance == pytest.approx(float(((end - start) ** 2).sum().sqrt())) and found.distance > 0
    assert found.relative_distance == pytest.approx(found.distance / float((start ** 2).sum().sqrt()))
    assert found.flips == pytest.approx(float(((start * end) < 0).double().mean()))
    assert found.used_images == 20
    assert replace(found, start_length=0.).relative_distance is None


def test_a_convolutional_network_with_batch_norm_is_measured_in_evaluation_mode():
    task = make_task('resnet20', shape=(3, 8, 8))
    round_ = trained_round(task, density=0.0001)
    mask, weights = round_.ticket.mask[0], round_.trained.weights[0]
    buffers = {name: buffer[0] for name, buffer in round_.trained.buffers.items()}
    assert 0 < int(mask.sum()) <= PROBES
    indices = rng.shuffle(task.splits[0][0], rng.generator(0, 'curvature images'))
    ((inputs, labels),) = training_batches(task, indices, 1_000, weights)
    found = curvature_of(task, round_)
    names = [name for name, part in task.network.layout.unpack(mask).items() if part.any()]
    tensors, masks = task.network.layout.unpack(weights), task.network.layout.unpack(mask)

    def loss(values):
        parts, start = {}, 0
        for name in names:
            count = int(masks[name].sum())
            places = masks[name].flatten().nonzero()[:, 0]
            part = tensors[name].flatten().index_copy(0, places, values[start:start + count])
            parts[name] = part.view(tensors[name].shape)
            start += count
        logits = functional_call(task.network.module.eval(), {**tensors, **buffers, **parts}, (inputs,))
        return F.cross_entropy(logits, labels)
    matrix = hessian(loss)(torch.cat([tensors[name][masks[name]] for name in names])).double()
    assert found.trace == pytest.approx(float(matrix.trace()), rel=1e-3, abs=1e-5)
    assert found.eigenvalue == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]), rel=1e-3, abs=1e-5)


def test_a_round_without_weights_has_no_curvature():
    task = make_task()
    round_ = trained_round(task, density=0)
    with pytest.raises(LthError, match='Round 1 keeps no weights'):
        curvature_of(task, round_)


def measure(lth, *options: str) -> dict:
    return printed_json(lth, 'stability', 'lenet-300-100-digits', '--curvature', '--images', '50', *options)


def test_every_round_is_measured_once_and_signs_are_those_of_the_sign_report(lth, run, monkeypatch):
    output = measure(lth)
    assert [(one['seed'], one['round']) for one in output['measurements']] == [
        (seed, number) for seed in (0, 1) for number in (0, 1, 2)]
    assert all(one['images'] == 50 and one['eigenvalue'] > 0 for one in output['measurements'])
    signs = json.loads(lth('show', 'run', run.name, '--signs', '--json').out)['rounds']
    flipped = [one['flipped_percent']['mean'] for one in signs]
    assert [row['flipped_percent']['mean'] for row in output['rows']] == pytest.approx(flipped)
    files = {file.name: file.read_bytes() for file in Path(f'{run}-stability').iterdir()}
    file = CURVATURES.path(run, replace(MEASURED, seed=1))
    file.unlink()
    assert measure(lth) == output and file.read_bytes() == files[file.name] and len(files) == 6
    monkeypatch.setattr(measuring, 'curvature_of', None)  # calling it would fail
    text = ' '.join(lth('stability', run.name, '--curvature', '--images', '50', '--rounds', '1').out.split())
    assert 'of the Hessian of the loss on 50 training images' in text and f'Measurements: {run}-stability' in text


def test_without_the_extra_the_command_to_install_it_is_named(lth, run, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda _name: None)
    result = lth('stability', run.name, '--curvature')
    assert result.code == 2 and "pip install 'lth[curvature]'" in ' '.join(result.err.split())
    assert not Path(f'{run}-stability').exists()


def test_rounds_that_were_thinned_are_named(lth, run):
    _, stored = open_run(RunPath(run))
    for seed in (0, 1):
        stored.thin(seed, 1, 'tickets')
    output = measure(lth)
    assert [row['round'] for row in output['rows']] == [0, 2]
    assert 'the option --keep removed the trained weights of round 1, so' in output['notes'][0]
    result = lth('stability', run.name, '--curvature', '--rounds', '1')
    assert result.code == 2
    assert 'the option --keep removed the trained weights of round 1' in ' '.join(result.err.split())


@pytest.mark.parametrize(('options', 'message'), [
    (('--rounds', '3'), 'has no round 3 of all seeds [0, 1]; its rounds are 0 to 2'),
    (('--between-rounds',), '--between-rounds cannot be combined with --curvature'),
    (('--points', '3'), '--curvature cannot be combined with --points'),
    (('--log', 'tensorboard'), '--curvature cannot be combined with --log'),
    (('--images', '2001'), '2001')])
def test_wrong_options_are_refused(lth, run, options, message):
    result = lth('stability', run.name, '--curvature', *options)
    assert result.code == 2 and message in ' '.join(result.err.split())
    assert not Path(f'{run}-stability').exists()


def test_images_need_curvature(lth, run):
    result = lth('stability', run.name, '--images', '5')
    assert result.code == 2 and '--images has an effect only with --curvature' in ' '.join(result.err.split())


@pytest.mark.parametrize('change', [
    lambda text: text.replace('"seed": 0', '"seed": 1'), lambda text: text[:-3], lambda text: '', lambda text: '{}'])
def test_files_that_were_changed_are_refused_and_repaired(lth, run, change):
    CURVATURES.write(run, MEASURED, FOUND)
    file = CURVATURES.path(run, MEASURED)
    file.write_text(change(file.read_text()))
    result = lth('stability', run.name, '--curvature', '--images', '50')
    assert result.code == 2 and file.name in ''.join(result.err.split()) and len(result.err) < 900
    damaged = json.loads(lth('repair', run.name, '--json').out)['damaged']
    assert [Path(one['path']).name for one in damaged] == [file.name] and not file.exists()


@pytest.mark.parametrize(('field', 'value'), [
    ('eigenvalue', None), ('trace_error', -1.), ('flips', 2.), ('distance', 'x'), ('used_images', -1)])
def test_wrong_fields_are_errors_of_one_paragraph_even_with_their_checksum(run, field, value):
    CURVATURES.write(run, MEASURED, FOUND)
    assert CURVATURES.read(run, MEASURED) == FOUND
    file = CURVATURES.path(run, MEASURED)
    raw = json.loads(file.read_text())
    del raw['checksum']
    file.write_bytes(encode_checked(raw | {field: value}))
    with pytest.raises(LthError, match='is damaged or was not written by lth') as caught:
        CURVATURES.read(run, MEASURED)
    assert len(str(caught.value)) < 500


def test_a_measurement_of_other_weights_or_of_another_round_is_refused(run):
    CURVATURES.write(run, MEASURED, FOUND)
    other = replace(MEASURED, images=51)
    shutil.copy(CURVATURES.path(run, MEASURED), CURVATURES.path(run, other))
    with pytest.raises(LthError, match='not the file of this measurement'):
        CURVATURES.read(run, other)
    shutil.rmtree(run / 'seed-0/round-01')
    shutil.copytree(run / 'seed-1/round-01', run / 'seed-0/round-01')
    with pytest.raises(LthError, match='measured on other trained weights'):
        CURVATURES.read(run, MEASURED)


def test_the_figure_shows_means_over_the_seeds_of_the_present_weights(run):
    request = figure_set.FigureRequest(figure_set.open_runs([parse_run_path(str(run))]))
    none = FIGURES.find('curvature')(request)
    assert isinstance(none, NoData) and f'lth stability {run} --curvature' in none.reason
    CURVATURES.write(run, MEASURED, FOUND)
    CURVATURES.write(run, replace(MEASURED, seed=1), replace(FOUND, eigenvalue=4.5, distance=4., flips=0.375))
    panels = FIGURES.find('curvature')(request).panels
    points = [panel.series[0].points for panel in panels]
    assert [(point[0].y, point[0].n) for point in points] == [(4, 2), (20.25, 2), (0.75, 2), (25, 2)]


def test_curvature_in_python(trained, tmp_path):
    run = shutil.copytree(trained / 'lenet-300-100-digits', tmp_path / 'run')
    result = package.curvature(run, rounds=[2], images=20)
    (row,) = result.rows
    assert row.round == 2 and row.eigenvalue.n == 2 and result.notes == ()
    assert [one for one, _ in result.measurements] == [MeasuredRound(0, 2, 20), MeasuredRound(1, 2, 20)]
    with pytest.raises(LthError, match='images: 0 is not possible'):
        package.curvature(run, images=0)
