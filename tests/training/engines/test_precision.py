"""fp32, tf32 and bf16: what each of them sets for a while, and which one a network trains in by default."""
from dataclasses import replace

import pytest
import torch

from lth.models.network import Network
from lth.models.registry import settings_class
from lth.training.engines.batches import Batches
from lth.training.engines.precision import (
    default_precision, precision_context, precision_note, refuse_unsupported_precision)
from lth.errors import LthError
from lth.training.engines.cuda.engine import CudaGraph
from tests.conftest import CPU, full_mask, initial_state, make_task


def torch_settings() -> tuple[str, bool, bool]:
    return (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32,
            torch.is_autocast_enabled('cpu'))


@pytest.mark.parametrize(('precision', 'device', 'settings'), [
    ('fp32', 'cpu', ('highest', False, False)), ('tf32', 'cpu', ('highest', False, False)),
    ('bf16', 'cpu', ('highest', False, True)), ('fp32', 'cuda', ('highest', False, False)),
    ('tf32', 'cuda', ('high', True, False))])
def test_a_precision_is_set_for_a_block_and_restored_at_its_end(precision, device, settings):
    before = torch_settings()
    task = replace(make_task(precision=precision), engine=CudaGraph(torch.device(device)))
    with precision_context(task):
        assert torch_settings() == settings
    assert torch_settings() == before


def test_the_precision_is_restored_after_an_error():
    before = torch_settings()
    with pytest.raises(ZeroDivisionError), precision_context(make_task(precision='tf32')):
        raise ZeroDivisionError
    assert torch_settings() == before


def test_a_precision_that_planning_did_not_resolve_is_a_bug():
    with pytest.raises(AssertionError), precision_context(make_task(precision='auto')):
        pass


@pytest.mark.parametrize(('model', 'precision'), [
    ('lenet-300-100', 'fp32'), ('conv-2', 'tf32'), ('resnet20', 'bf16')])
def test_the_default_precision_depends_on_device_and_layers(gpus, model, precision):
    network = make_task(model, shape=(3, 8, 8)).network
    assert default_precision('cpu', network) == 'fp32'
    gpus.install(1)
    assert default_precision('cuda:0', network) == precision
    gpus.install(1, name='Tesla V100', capability=(7, 0))
    assert default_precision('cuda:0', network) == 'fp32'


def test_bf16_is_refused_on_a_gpu_that_has_no_units_for_it(gpus):
    gpus.install(2, name='Tesla V100', capability=(7, 0))
    v100 = torch.device('cuda', 1)
    with pytest.raises(LthError, match=r'but cuda:1 \(Tesla V100\) has 7\.0\. Use --precision fp32'):
        refuse_unsupported_precision(v100, 'bf16')
    refuse_unsupported_precision(v100, 'fp32')
    refuse_unsupported_precision(torch.device('cpu'), 'bf16')
    gpus.install(1, capability=(8, 0))
    refuse_unsupported_precision(torch.device('cuda', 0), 'bf16')


def test_tf32_where_it_is_computed_as_fp32_is_noted(gpus):
    gpus.install(1, name='Tesla T4', capability=(7, 5))
    assert 'cuda:0 (Tesla T4) has 7.5' in precision_note(torch.device('cuda', 0), 'tf32')
    assert 'the device is a CPU' in precision_note(torch.device('cpu'), 'tf32')
    assert precision_note(torch.device('cpu'), 'bf16') is None
    gpus.install(1, capability=(8, 6))
    assert precision_note(torch.device('cuda', 0), 'tf32') is None


def test_bf16_changes_the_weights_by_rounding_only():
    weights = {}
    for precision in ('fp32', 'bf16'):
        task = make_task('conv-2', shape=(3, 8, 8), precision=precision)
        segments = CPU.run(task, initial_state(task), trainable=full_mask(task), stops=[3])
        weights[precision] = list(segments)[-1].state.weights
    assert 0 < (weights['fp32'] - weights['bf16']).abs().max() < 0.02


def test_crops_are_the_same_in_every_precision():
    data = {'resized_crop': 0.2, 'flip': True, 'resolution': 24}
    images = []
    for precision in ('fp32', 'bf16'):
        task = make_task('conv-2', shape=(3, 32, 32), data=data, precision=precision)
        task = replace(task, network=Network.of(settings_class('conv-2')(name='conv-2'), (3, 24, 24), 4))
        batches = Batches(task, torch.float32)
        batches.start_epoch(0)
        with precision_context(task):
            images.append(batches.batch(batches.columns[0])[0])
    assert torch.equal(*images)


def test_replicates_with_batch_norm_train_together_in_bf16_nearly_as_alone():
    task = make_task('resnet20', shape=(3, 8, 8), seeds=(0, 1), precision='bf16')
    start, mask = initial_state(task), full_mask(task)
    together, = CPU.run(task, start, trainable=mask, stops=[2])
    for row, seed in enumerate(task.seeds):
        alone = replace(task, seeds=(seed,))
        expected, = CPU.run(alone, initial_state(alone), trainable=mask[:1], stops=[2])
        # BatchNorm reads float32 together and bf16 alone: a relative error of 2 ** -8 in its inputs.
        assert torch.allclose(together.losses[row], expected.losses[0], rtol=0.05)
