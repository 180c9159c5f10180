"""All kernels compile for GPUs that are not there. Triton's interpreter accepts code that the compiler rejects."""
import pytest

from lth.recipes.schema import Adam, AdamW, Sgd
from lth.training.engines.cuda import fused_optimizer, kernels
from tests.training.engines.cuda.kernel_compilation import CAPABILITIES, machine_code

VECTORS = {'weights': '*fp32', 'trainable': '*u8', 'shadow': '*bf16', 'table': '*i64', 'rate': '*fp32'}
MOMENTS = {'means': '*fp32', 'squares': '*fp32', 'steps': '*fp32'}
BLOCKS = (fused_optimizer._SMALL_BLOCK, fused_optimizer._BLOCK)
# Gradients are bfloat16 only where layers read a bfloat16 copy.
PRECISIONS = [(False, False), (True, True)]


def check_adam(settings, capability, **precision):
    constants = fused_optimizer._adam_constants(settings) | {'decay': settings.weight_decay} | precision
    check(kernels.optimizers.adam, capability, VECTORS | MOMENTS, constants, vectors=4)


def check_sgd(settings, capability, **precision):
    constants = precision | {
        'momentum': settings.momentum, 'nesterov': settings.nesterov, 'decay': settings.weight_decay}
    check(kernels.optimizers.sgd, capability, VECTORS | {'momenta': '*fp32'}, constants,
          vectors=2 + (settings.momentum > 0))


def check(kernel, capability, types, constants, *, vectors):
    for block in BLOCKS:
        code = machine_code(kernel, capability, types, constants | {'block': block})
        assert code.cubin
        assert code.spills == 0
        # Complete blocks are read 16 bytes at a time.
        assert code.ptx.count('ld.global.v4.b32') >= vectors


@pytest.mark.parametrize('capability', CAPABILITIES)
def test_optimizers_compile_without_a_gpu(capability):
    adam, sgd = AdamW(name='adamw', learning_rate=1), Sgd(name='sgd', learning_rate=1, momentum=0.9, nesterov=True)
    check_adam(adam, capability, halves=False, has_shadow=False)
    check_sgd(sgd, capability, halves=True, has_shadow=True)


@pytest.mark.slow
@pytest.mark.parametrize('capability', CAPABILITIES)
@pytest.mark.parametrize(('halves', 'has_shadow'), PRECISIONS)
@pytest.mark.parametrize('settings', [
    Adam(name='adam', learning_rate=1), Adam(name='adam', learning_rate=1, betas=(0., 0.99), weight_decay=0.1),
    AdamW(name='adamw', learning_rate=1)], ids=str)
def test_adam_compiles_in_all_combinations(settings, halves, has_shadow, capability):
    check_adam(settings, capability, halves=halves, has_shadow=has_shadow)


@pytest.mark.slow
@pytest.mark.parametrize('capability', CAPABILITIES)
@pytest.mark.parametrize(('halves', 'has_shadow'), PRECISIONS)
@pytest.mark.parametrize('options', [{}, {'momentum': 0.9, 'weight_decay': 5e-4}, {'momentum': 0.9, 'nesterov': True}])
def test_sgd_compiles_in_all_combinations(options, halves, has_shadow, capability):
    check_sgd(Sgd(name='sgd', learning_rate=1, **options), capability, halves=halves, has_shadow=has_shadow)
