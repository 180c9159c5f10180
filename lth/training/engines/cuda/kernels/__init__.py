"""Machine code of the CUDA engine, written in Triton: the optimizer, and convolutions of all replicates at once.

Triton exists for few platforms, so these modules are imported on first use. With TRITON_INTERPRET=1 in the environment
the kernels run on the CPU, slowly, for tests.

compiler.py makes kernels · optimizers.py updates a flat vector · convolutions.py convolves. A new kernel also belongs
into the tests that compile all kernels for GPUs that are not there: Triton's interpreter accepts code that its compiler
rejects.
"""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.training.engines.cuda.kernels import compiler, convolutions, optimizers
else:
    __getattr__ = submodules(__name__)
