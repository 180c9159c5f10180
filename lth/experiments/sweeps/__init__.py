"""Sweeps: one command of lth, repeated for each combination of settings that a grid file lists.

A cell is one such combination: a run folder, and the folders of its controls.
"""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.experiments.sweeps import cells, estimate, grid_file, sweep
else:
    __getattr__ = submodules(__name__)
