"""lth: the workbench for lottery tickets and rare gems, sparse subnetworks that train as well as the dense network.

From Python: `lth.load_ticket(path)` reads a ticket, see docs/python.md.
"""
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lth.export.torch_modules import NamedTicket, load_ticket

__version__ = '0.1.0'
__all__ = ['NamedTicket', 'load_ticket']


def __getattr__(name: str) -> Any:
    # When they are asked for: torch takes 2 s to import, and the command line's `--help` must not wait for it.
    if name in __all__:
        from lth.export import torch_modules  # pylint: disable=import-outside-toplevel
        return getattr(torch_modules, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
