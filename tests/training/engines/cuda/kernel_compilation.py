"""Compiles kernels for GPUs that need not be there, and reads what the machine code needs."""
import inspect
import re
import subprocess
import tempfile
from typing import NamedTuple

import pytest

# Compute capabilities of the A100 and the H100.
CAPABILITIES = (80, 90)


class MachineCode(NamedTuple):
    """`cubin` is the code, `ptx` its assembly, `shared` its bytes of shared memory, `spills` the bytes of
    registers that it moves to memory.
    """

    cubin: bytes
    ptx: str
    shared: int
    spills: int


def machine_code(
        kernel, capability: int, types: dict[str, str], constants: dict[str, object], **options: int) -> MachineCode:
    """Compile a kernel whose pointers are aligned, as those of torch's tensors are. Skips the test without Triton."""

    triton = pytest.importorskip('triton')
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia.compiler import get_ptxas
    from triton.compiler import ASTSource

    signature = {name: types.get(name, 'constexpr') for name in kernel.arg_names}
    attributes = {(index,): [['tt.divisibility', 16]]
                  for index, name in enumerate(kernel.arg_names) if signature[name].startswith('*')}
    source = ASTSource(kernel, signature, constants, attributes)
    compiled = triton.compile(source, target=GPUTarget('cuda', capability, 32), options={'num_warps': 4} | options)
    # Triton 3.4 has one assembler for all processors.
    assembler = get_ptxas(capability) if inspect.signature(get_ptxas).parameters else get_ptxas()
    ptx = compiled.asm['ptx']
    return MachineCode(compiled.asm['cubin'], ptx, compiled.metadata.shared, _spills(assembler, ptx))


def _spills(assembler, ptx: str) -> int:
    # As Triton does: without it, version 13 spills registers that it need not.
    options = ['--regAllocOptLevel=2'] if int(assembler.version.split('.')[0]) >= 13 else []
    architecture = re.search(r'\.target (\w+)', ptx)[1]
    with tempfile.NamedTemporaryFile('w', suffix='.ptx') as file:
        file.write(ptx)
        file.flush()
        done = subprocess.run([assembler.path, '-v', *options, f'-arch={architecture}', file.name, '-o', '/dev/null'],
                              capture_output=True, text=True, check=True)
    return sum(int(count) for count in re.findall(r'(\d+) bytes spill', done.stderr))
