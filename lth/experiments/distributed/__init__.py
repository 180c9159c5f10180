"""A run on several ranks: rank 0 runs the command, alone reads and writes files, and leads the others.

The other ranks follow: they read the same images and compute the same rounds in the same order, without files. What
rank 0 reads of the run is sent to them, so that its folder need not be shared.
"""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.experiments.distributed import membership
else:
    __getattr__ = submodules(__name__)
