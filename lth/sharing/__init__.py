"""Runs on the Hugging Face Hub: what of a run is shared, how it is uploaded, downloaded and verified."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.sharing import anonymous, hub, manifest, pull, push, shared_runs, staging, verification
else:
    __getattr__ = submodules(__name__)
