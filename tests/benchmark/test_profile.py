"""Profiles of steps: names of kernels, limits of devices, the work of a step, and times by kind."""
import json
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from lth.benchmark import kernel_kinds, limits, step_profile
from lth.benchmark.contenders import Contender
from tests.conftest import SGD, make_task


@pytest.mark.parametrize(('kind', 'names'), [
    ('convolution', [
        'sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64_warpgroupsize1x1x1',
        'sm80_xmma_wgrad_implicit_gemm_indexed_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x16x64_stage3',
        'void cutlass__5x_cudnn::Kernel<cutlass_tensorop_bf16_s16816dgrad_optimized_bf16_64x64_32x10_nhwc>',
        'void cudnn::cnn::wgrad2d_grouped_direct_kernel<float, float, int, float, true, false, 3>',
        'void cudnn::winograd_nonfused::winogradForwardData4x4<float, float>', 'conv2d_c1_k1_nhwc_kernel',
        'void implicit_convolve_sgemm<float, float, 1024, 5, 5, 3, 3, 3, 1, false, false, true>',
        'ampere_scudnn_128x64_relu_small_nn_v1', 'triton_tem_fused_convolution_3',
        'aten::mkldnn_convolution', 'aten::convolution_backward', 'aten::conv2d']),
    ('matrix product', [
        'ampere_sgemm_128x64_tn', 'sm80_xmma_gemm_f32f32_tf32f32_f32_tn_n_tilesize128x128x16_stage4_cublas',
        'nvjet_hsh_64x8_64x16_4x1_v_bz_TNT', 'void cutlass::Kernel2<cutlass_80_tensorop_s1688gemm_128x128>',
        'void cublasLt::splitKreduce_kernel<32, 16, int, float, float, float, float, false>',
        'void gemv2T_kernel_val<int, int, float, float, float>', 'triton_tem_fused_addmm_2',
        'aten::mm', 'aten::addmm', 'aten::bmm', 'aten::baddbmm', 'aten::linear']),
    ('normalization', [
        'void cudnn::bn_fw_tr_1C11_kernel_NCHW<float, float, int, 512, true, 1, true>',
        'void cudnn::bn_bw_1C11_kernel_new<float, float, float2, 512, true, 1>',
        'void at::native::batch_norm_collect_statistics_channels_last_kernel<InvStd, float, float, 4>',
        'triton_red_fused__native_batch_norm_legit_functional_7', 'triton_per_fused_native_batch_norm_backward_12',
        'void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<float, float>',
        'aten::native_batch_norm', 'aten::native_batch_norm_backward']),
    ('optimizer', [
        'void at::native::(anonymous namespace)::multi_tensor_apply_kernel<at::native::(anonymous namespace)::'
        'FusedOptimizerTensorListMetadata<4>, at::native::(anonymous namespace)::FusedAdamMathFunctor<float, 4, (1)0>>',
        'void at::native::(anonymous namespace)::multi_tensor_apply_kernel<FusedSgdMathFunctor<float, 3>>',
        'adam', 'sgd', 'aten::_fused_adam_', 'aten::_fused_sgd_']),
    ('mask', [
        'void at::native::vectorized_elementwise_kernel<4, at::native::BitwiseAndFunctor<int>, std::array<char*, 3ul>>',
        'void at::native::(anonymous namespace)::multi_tensor_apply_kernel<TensorListMetadata<2>, '
        'BinaryOpListAlphaFunctor<float, 2, 2, 0>, std::multiplies<float>, float>',
        'aten::bitwise_and_', 'aten::bitwise_or_', 'aten::_foreach_mul_']),
    ('copies and casts', [
        'Memcpy DtoD (Device -> Device)', 'Memset (Device)',
        'void at::native::unrolled_elementwise_kernel<at::native::direct_copy_kernel_cuda(at::TensorIteratorBase&)>',
        'void at::native::vectorized_elementwise_kernel<4, at::native::bfloat16_copy_kernel_cuda(TensorIteratorBase&)>',
        'void cudnn::ops::nchwToNhwcKernel<__half, __half, float, false, true, (cudnnKernelDataType_t)0>',
        'void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>, std::array<char*, 1ul>>',
        'triton_poi_fused__to_copy_1', 'aten::copy_', 'aten::_to_copy', 'aten::to', 'aten::clone', 'aten::fill_']),
    ('other', [
        'triton_poi_fused_add_relu_4', 'triton_poi_fused_convolution_relu_0', 'aten::add_', 'aten::index', 'aten::relu',
        'void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul>>',
        'void at::native::(anonymous namespace)::max_pool_forward_nhwc<float, int>', 'aten::max_pool2d_with_indices',
        'autograd::engine::evaluate_function: ConvolutionBackward0', 'ConvolutionBackward0'])])
def test_the_kind_of_a_kernel_is_found_by_its_name(kind, names):
    assert {name: kernel_kinds.kernel_kind(name) for name in names} == dict.fromkeys(names, kind)
    assert kind in kernel_kinds.kernel_kinds()


def event(name: str, milliseconds: float, count: int = 1) -> SimpleNamespace:
    """An event of the profiler on a GPU."""

    return SimpleNamespace(
        key=name, self_device_time_total=1000 * milliseconds, count=count, device_type=DeviceType.CUDA)


def test_times_are_summed_by_kind_and_the_rest_of_a_step_is_outside():
    events = [event('ampere_sgemm_128x64_tn', 4.), event('nvjet_hsh_64x8', 2.), event('Memset (Device)', 1.)]
    times = step_profile.milliseconds_by_kind(events, 2, 5.)
    assert times == {'matrix product': 3, 'copies and casts': 0.5, 'outside': 1.5}
    # A step is shorter without the profiler.
    assert 'outside' not in step_profile.milliseconds_by_kind(events, 2, 3.)


@pytest.mark.parametrize(('card', 'precision', 'terabytes', 'teraflops'), [
    ('NVIDIA H100 80GB HBM3', 'bf16', 3.35, 989), ('NVIDIA H100 PCIe', 'fp32', 2., 51),
    ('NVIDIA H200', 'tf32', 4.8, 495),
    ('NVIDIA A100-SXM4-40GB', 'bf16', 1.555, 312), ('NVIDIA A100 80GB PCIe', 'fp32', 1.94, 19.5)])
def test_limits_of_a_known_card_are_those_of_its_data_sheet(monkeypatch, card, precision, terabytes, teraflops):
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda _device: card)
    found = limits.device_limits(torch.device('cuda', 0), precision)
    assert found == (pytest.approx(terabytes * 1e12), pytest.approx(teraflops * 1e12), card)


def test_limits_of_a_cpu_are_measured():
    found = limits.device_limits(torch.device('cpu'), 'fp32')
    assert 1e8 < found.bytes_per_second < 1e13 and 1e9 < found.flops_per_second < 1e14


def test_work_of_a_step_counts_products_of_three_passes_and_the_optimizers_traffic():
    task = make_task(batch_size=8, optimizer=SGD)
    work, weights = limits.step_work(task.network, task.training), 64 * 300 + 300 * 100 + 100 * 4
    assert work.flops == 3 * 2 * weights * 8
    assert work.bytes == 20 * (weights + 404) + 16 * 404 * 8
    sparse = limits.step_work(task.network, task.training, kept=0.1)
    assert sparse.flops == pytest.approx(work.flops / 10)


def test_profile_on_a_cpu_names_operators_and_not_the_kernels_of_lth(lth, monkeypatch):
    monkeypatch.setattr(step_profile, '_SECONDS', 0.05)
    monkeypatch.setattr(step_profile.worker_pool, 'run_in_parallel', lambda work, jobs, _slots, on_message: [
        work(*job, on_message) for job in jobs])
    result = lth('bench', 'lenet-300-100', 'digits', '--device', 'cpu', '--profile', '--json')
    profiles = {one['engine']: one for one in json.loads(result.out)['profiles']}
    assert list(profiles) == ['expert', 'eager', 'sparse']
    for name in ('expert', 'eager'):
        one = profiles[name]
        assert {'matrix product', 'optimizer', 'copies and casts'} <= one['ms_by_kind'].keys()
        assert one['kernels'] > 20 and one['arithmetic_limit_percent'] > 0 and not one['on_gpu']
    sparse = profiles['sparse']
    assert sparse['kernels'] < profiles['eager']['kernels'] / 4  # they are counted over 3 steps or more
    assert not {'matrix product', 'optimizer'} & sparse['ms_by_kind'].keys()


def test_profile_is_printed_as_one_table_for_each_engine(lth, monkeypatch):
    one = step_profile.StepProfile(
        str(Contender('eager', 'cpu')), 1., 1, 2., on_gpu=False, kernels=43.2,
        ms_by_kind={'matrix product': 1.5, 'outside': 0.5}, memory_share=0.1, arithmetic_share=0.25, limits='here')
    monkeypatch.setattr(step_profile, 'profile_contenders', lambda *_arguments, **_options: [one])
    out = lth('bench', 'lenet-300-100', 'digits', '--device', 'cpu', '--profile').out
    assert ('eager, 100% of the weights: 2.000 ms per step, 43 operators, 10.0% of the memory limit, 25.0% of the '
            'arithmetic limit') in out
    rows = [line.split() for line in out.splitlines() if '%' in line][1:]
    assert rows == [['matrix', 'product', '1.500', '75%'], ['outside', '0.500', '25%']]
