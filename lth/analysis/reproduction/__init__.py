"""Published experiments repeated: their runs, what they measured, and whether that agrees with what was claimed."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.analysis.reproduction import claims, measures, reproduce, scale, time_estimate
else:
    __getattr__ = submodules(__name__)
