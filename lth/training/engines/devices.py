"""Devices: what their names mean on this machine, why a GPU cannot be used, and the GPU that is current for a while."""
import contextlib
import os
import re
import warnings

import torch

from lth.errors import ENVIRONMENT_ERROR, LthError, quote

_INSTALL = 'https://pytorch.org/get-started/locally'
# Errors of torch.cuda.init() on a machine without a GPU, or one that does not show it to this process.
_NO_DRIVER, _NO_GPU = 'Found no NVIDIA driver', 'No CUDA GPUs are available'
_OLD_DRIVER = re.compile(r'driver on your system is too old \(found version (\d+)\)')


def resolve_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:1` means.

    `auto` is a GPU if torch can use one. A GPU without a number is the current one of this process: the result always
    has an index, as `torch.cuda.set_device` requires. Raises LthError for another name and for a GPU that does not
    exist, and with the exit code ENVIRONMENT_ERROR for a driver or GPU that does not work.
    """

    if name == 'auto':
        name = 'cuda' if _is_gpu_available() else 'cpu'
    device = _parse(name)
    if device is not None and device.type == 'mps':
        raise LthError(f'Device {quote(name)} is not supported: lth computes on CPUs and on NVIDIA GPUs. Use the '
                       'device cpu.')
    if device is None or device.type not in ('cpu', 'cuda'):
        raise LthError(f'Unknown device {quote(name)}. Use auto, cpu or cuda, or choose one of several GPUs, as in '
                       'cuda:1.')
    return torch.device('cpu') if device.type == 'cpu' else _resolve_gpu(name, device.index)


def gpu_failure() -> str | None:
    """Why torch cannot use the GPU of this machine, as one paragraph; None if it can, or if there is none."""

    if _is_gpu_available() or not _has_cuda():
        return None
    error = _initialization_error()
    return None if error is None or _NO_DRIVER in error or _NO_GPU in error else _failure(error)


def gpu_names(device: torch.device) -> list[str]:
    """The names of all GPUs that torch sees; none if the device is the CPU."""

    count = torch.cuda.device_count() if device.type == 'cuda' else 0
    return [torch.cuda.get_device_name(index) for index in range(count)]


def current_device(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """A context in which this GPU is the current one, as streams and captures need; for a CPU an empty one."""

    return torch.cuda.device(device) if device.type == 'cuda' else contextlib.nullcontext()


def _parse(name: str) -> torch.device | None:
    try:
        return torch.device(name)
    except RuntimeError:
        return None


def _resolve_gpu(name: str, index: int | None) -> torch.device:
    if not _has_cuda():
        raise LthError(f'Device {quote(name)} is not available: torch {torch.__version__} was built without CUDA. '
                       f'Install a build with CUDA ({_INSTALL}), or use the device cpu.')
    error = _initialization_error()
    if error is not None:
        raise _unavailable(name, error)
    count = torch.cuda.device_count()
    if index is not None and index >= count:
        known = 'only cuda:0' if count == 1 else f'cuda:0 to cuda:{count - 1}'
        raise LthError(f'Device {quote(name)} is not available: torch sees {known}{_visible_devices()}. Use one of '
                       'them, or the device cpu.')
    return torch.device('cuda', torch.cuda.current_device() if index is None else index)


def _has_cuda() -> bool:
    """Whether torch was built for GPUs: of NVIDIA, or of AMD, which torch calls by the same names."""

    return torch.version.cuda is not None or torch.version.hip is not None


def _is_gpu_available() -> bool:
    """As torch.cuda.is_available(), without its warning: `gpu_failure` says the same in one paragraph."""

    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='CUDA initialization')
        return torch.cuda.is_available()


def _initialization_error() -> str | None:
    """The message of torch if it cannot initialize a GPU, else None."""

    try:
        torch.cuda.init()
    except RuntimeError as error:
        return str(error).strip().split('\n', maxsplit=1)[0]
    return None


def _unavailable(name: str, error: str) -> LthError:
    """The error for a GPU that torch cannot initialize."""

    if _NO_DRIVER in error:
        return LthError(f'Device {quote(name)} is not available: torch finds no NVIDIA driver. Install the driver of '
                        'the GPU, start a container with its GPUs (docker run --gpus all), or use the device cpu.')
    if _NO_GPU in error:
        return LthError(f'Device {quote(name)} is not available: torch sees no GPU{_visible_devices()}. Use the device '
                        'cpu, or a machine with a GPU.')
    return LthError(f'Device {quote(name)} is not available: {_failure(error)}', exit_code=ENVIRONMENT_ERROR)


def _failure(error: str) -> str:
    """Why an installed GPU does not work, and how to fix it."""

    match = _OLD_DRIVER.search(error)
    if match:
        supported = f'{int(match[1]) // 1000}.{int(match[1]) % 1000 // 10}'
        return (f'the NVIDIA driver is too old. It supports CUDA up to {supported}, and torch {torch.__version__} '
                f'needs CUDA {torch.version.cuda}. Update the driver (https://www.nvidia.com/drivers), install a '
                f'build of torch for CUDA {supported} or older ({_INSTALL}), or use the device cpu.')
    return (f'torch cannot initialize the GPU ({error}). Another process may have left it in a bad state: look at '
            'nvidia-smi, end the processes that use the GPU or restart the machine, or use the device cpu.')


def _visible_devices() -> str:
    """The part of a message that names CUDA_VISIBLE_DEVICES if it is set, as it hides GPUs."""

    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is None:
        return ''
    return (f'. The environment variable CUDA_VISIBLE_DEVICES={quote(visible)} hides '
            + ('all GPUs; unset it' if visible in ('', '-1') else 'the others, and those left are counted from 0'))
