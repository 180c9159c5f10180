"""The kernels are portable: the code that LLVM gets for this processor is also compiled for 64-bit ARM.

numba's own functions, which count references, are left out: numba compiles other ones on ARM.
"""
import re
from typing import Any

import llvmlite.binding as llvm
import numba
import pytest

from lth.training.engines.sparse_cpu.kernels import steps
from tests.conftest import full_mask, make_task
from tests.training.engines.sparse_cpu.sparse_tasks import start_of, train_to

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def code() -> str:
    """The LLVM code of a training step with all that it calls, compiled for this machine."""

    task = make_task()
    train_to(task, start_of(task), full_mask(task), 1)
    kernel: Any = steps.train
    # Without the cache, which has no LLVM code.
    fresh = numba.njit(nogil=True, error_model='numpy')(kernel.py_func)
    fresh.compile(kernel.signatures[0])
    text = str(fresh.inspect_llvm(kernel.signatures[0]))
    text = re.sub(r'^target (triple|datalayout) = .*$', '', text, flags=re.MULTILINE)
    return re.sub(r'^define \S+ void @(NRT_\w+)\(.*?^}$', r'declare void @\1(ptr)', text,
                  flags=re.MULTILINE | re.DOTALL)


def test_the_code_of_kernels_calls_no_function_of_one_processor(code):
    assert '@llvm.fmuladd.v64f32' in code
    assert re.findall(r'call \S+ @llvm\.(?:x86|aarch64|arm)\.\S+| asm ', code) == []


@pytest.mark.parametrize('system', ['aarch64-unknown-linux-gnu', 'arm64-apple-darwin'])
def test_kernels_compile_for_arm_to_its_vector_instructions(code, system):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(system)
    except RuntimeError:
        pytest.skip('this LLVM has no code generator for ARM')
    machine = target.create_target_machine(opt=2)
    module = llvm.parse_assembly(code)
    module.triple, module.data_layout = system, str(machine.target_data)
    assembly = machine.emit_assembly(module)
    # Fused multiply-adds of four 32-bit numbers: `fmla v1.4s, …` on Linux, `fmla.4s v1, …` on macOS.
    assert len(re.findall(r'\bfmla(?:\.4s\s+v\d+|\s+v\d+\.4s)', assembly)) > 100
