"""The kind of a GPU kernel or CPU operator, found by its name.

To recognize more names, add a pattern to the table. The first pattern that is found anywhere in a name decides.
"""
import re

# Time that is spent outside kernels and operators: Python, launches, an idle GPU, compiled loops on a CPU.
OUTSIDE = 'outside'
_OTHER = 'other'

# cuDNN and cuBLAS both name kernels after the matrix products that they consist of, so convolutions come first; so do
# kernels of torch.compile, whose names list the operators that were fused.
_PATTERNS = [
    ('optimizer', r'Fused(Adam|Sgd)|_fused_(adam|sgd)|^(adam|sgd)$|Optimizer\.step'),
    ('mask', r'_foreach_mul|BinaryOpListAlphaFunctor.*multiplies|[Bb]itwise_?([Aa]nd|[Oo]r)'),
    ('normalization', r'batch_?norm|\bbn_[fb]w|layer_?norm|group_?norm'),
    ('convolution', r'[fdw](prop|grad)(_|2d|$)|implicit_(gemm|convolve)|explicit_convolve|winograd|scudnn|conv2d_|'
                    r'cudnn.*conv(?!ert)|triton_tem_fused_.*convolution|^aten::.*conv'),
    ('matrix product', r'gemm|gemv|nvjet|splitKreduce|^aten::(b?add)?b?mm$|^aten::(mv|addmv|matmul|linear)$|'
                       r'^mkl.*linear|triton_tem_fused_.*mm|cutlass::Kernel|dot_kernel'),
    ('copies and casts', r'direct_copy|Memcpy|Memset|_copy_kernel|copy_device_to_device|CatArrayBatchedCopy|'
                         r'FillFunctor|nchwToNhwc|nhwcToNchw|'
                         r'^aten::(copy_|_?to|_to_copy|clone|contiguous|cat|zero_|fill_)$|'
                         r'triton_poi_fused_(_?to_copy|clone|copy)_*\d*$'),
]


def kernel_kinds() -> list[str]:
    """All kinds, in the order in which they are shown."""

    return ['convolution', 'matrix product', 'normalization', 'optimizer', 'mask', 'copies and casts', _OTHER, OUTSIDE]


def kernel_kind(name: str) -> str:
    """The kind of a kernel or operator.

        >>> kernel_kind('sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x64x64')
        'convolution'
    """

    return next((kind for kind, pattern in _PATTERNS if re.search(pattern, name)), _OTHER)
