"""All kernels compile for an A100 and an H100 that are not there. Interpreters accept what compilers reject."""
import pytest
import torch

from lth.recipes.schema import Adam, AdamW, Sgd
from lth.training.engines.cuda import fused_optimizer, kernels
from lth.training.engines.cuda.convolution_kernels import Geometry, constants, default_tile
from tests.training.engines.cuda.kernel_compilation import CAPABILITIES, machine_code

VECTORS = {'weights': '*fp32', 'trainable': '*u8', 'shadow': '*bf16', 'table': '*i64', 'rate': '*fp32'}
MOMENTS = {'means': '*fp32', 'squares': '*fp32', 'steps': '*fp32'}
BLOCKS = (fused_optimizer._SMALL_BLOCK, fused_optimizer._BLOCK)
# Gradients are bfloat16 only where layers read a bfloat16 copy.
PRECISIONS = [(False, False), (True, True)]
# Pointers of the kernels of convolutions: operands and result.
POINTERS = {'convolve': ('inputs', 'weights', 'outputs'), 'convolve_deltas': ('deltas', 'weights', 'gradient'),
            'correlate': ('inputs', 'deltas', 'partial')}
SIZES = {'images': 'i32', 'weight_stride': 'i64', 'part': 'i32'}
# All convolutions of a ResNet-20: height and width, of the outputs too, channels, outputs, kernel size and stride.
LAYERS = [Geometry(32, 32, 32, 32, 3, 16, 3, 1), Geometry(32, 32, 32, 32, 16, 16, 3, 1),
          Geometry(32, 32, 16, 16, 16, 32, 3, 2), Geometry(32, 32, 16, 16, 16, 32, 1, 2),
          Geometry(16, 16, 16, 16, 32, 32, 3, 1), Geometry(16, 16, 8, 8, 32, 64, 3, 2),
          Geometry(16, 16, 8, 8, 32, 64, 1, 2), Geometry(8, 8, 8, 8, 64, 64, 3, 1)]
OPERANDS = [(torch.bfloat16, 'bf16', 'ieee'), (torch.float32, 'fp32', 'ieee'), (torch.float32, 'fp32', 'tf32')]


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


def check_convolution(sizes, capability, operands):
    """Compile the three kernels of a convolution as they are launched."""

    dtype, name, precision = operands
    for kernel, pointers in POINTERS.items():
        compiled, sums_positions = getattr(kernels.convolutions, kernel), kernel == 'correlate'
        types = {pointer: f'*{name}' for pointer in pointers} | ({'partial': '*fp32'} if sums_positions else {})
        types |= {size: kind for size, kind in SIZES.items() if size in compiled.arg_names}
        tile = default_tile(sizes, dtype, sums_positions=sums_positions)
        code = machine_code(compiled, capability, types, constants(sizes, tile) | {'precision': precision},
                            num_warps=tile.warps, num_stages=tile.stages)
        assert code.cubin
        # The assembler of Triton 3.9 moves eight registers to memory in 2 of 48 kernels, that of earlier versions none.
        assert code.spills <= 32
        # At least two programs fit on a core of an A100, with its 164 KB.
        assert code.shared <= 80 * 1024
        assert ('mma' in code.ptx) == ((name, precision) != ('fp32', 'ieee')), 'on tensor cores'


@pytest.mark.parametrize('capability', CAPABILITIES)
def test_convolutions_compile_without_a_gpu(capability):
    check_convolution(LAYERS[-1], capability, OPERANDS[0])


@pytest.mark.slow
@pytest.mark.parametrize('capability', CAPABILITIES)
@pytest.mark.parametrize('operands', OPERANDS, ids=str)
@pytest.mark.parametrize('sizes', LAYERS, ids=lambda sizes: '-'.join(map(str, sizes)))
def test_all_convolutions_of_a_resnet20_compile_without_a_gpu(sizes, operands, capability):
    check_convolution(sizes, capability, operands)
