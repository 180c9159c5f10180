"""Networks for other code: tickets as torch modules, and exports as files that need no lth."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.exports import compaction, description, export, formats
else:
    __getattr__ = submodules(__name__)
