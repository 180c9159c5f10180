"""The loss around trained networks: barriers between successive rounds, and curvature."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.analysis.loss_landscape import (
        barrier_files, barrier_table, curvature, curvature_files, hessian, round_barriers)
else:
    __getattr__ = submodules(__name__)
