"""GPUs that are not there: torch.cuda answers as on a machine that has them, or whose driver fails. No kernel runs."""
import warnings

import pytest
import torch

NO_DRIVER = ('Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver '
             'from http://www.nvidia.com/Download/index.aspx')
NO_GPU = 'No CUDA GPUs are available'
OLD_DRIVER = ('The NVIDIA driver on your system is too old (found version 12080). Please update your GPU driver by '
              'downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx')
BAD_STATE = ('Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling '
             'NumCudaDevices() that might have already set an error? Error 802: system not yet initialized')


class FakeGpus:
    """The GPUs of a machine: their number, the current one, and what torch says about each of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.selected: list[torch.device] = []
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
        monkeypatch.setattr(torch.version, 'cuda', '13.0')
        monkeypatch.setattr(torch.cuda, 'set_device', self.selected.append)
        self.install(0)

    def install(
            self, count: int, *, current: int = 0, name: str = 'NVIDIA H100 80GB HBM3',
            capability: tuple[int, int] = (9, 0), free: int = 80 * 2 ** 30) -> None:
        """Give the machine some GPUs of one kind, with this much free memory in bytes; 0 take them away."""

        self._set(
            init=self.fail if count == 0 else lambda: None, is_available=lambda: count > 0, device_count=lambda: count,
            current_device=lambda: current, get_device_name=lambda _device=None: name,
            get_device_capability=lambda _device=None: capability,
            mem_get_info=lambda _device=None: (free, 80 * 2 ** 30), memory_reserved=lambda _device=None: 0,
            memory_allocated=lambda _device=None: 0)

    def fail(self, message: str = NO_DRIVER) -> None:
        """Raise torch's error for a driver or GPU that does not work."""

        raise RuntimeError(message)

    def break_driver(self, message: str, *, count: int = 1) -> None:
        """Let the driver fail with torch's message. It warns once; NVIDIA's management library still counts GPUs."""

        reasons = [message]

        def is_available() -> bool:
            if reasons:
                warnings.warn(f'CUDA initialization: {reasons.pop()}', UserWarning, stacklevel=2)
            return False
        self.install(count)
        self._set(init=lambda: self.fail(message), is_available=is_available, current_device=lambda: self.fail(message))

    def _set(self, **functions: object) -> None:
        for name, function in functions.items():
            self._monkeypatch.setattr(torch.cuda, name, function)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    """A machine without a GPU, into which a test can install some."""

    return FakeGpus(monkeypatch)
