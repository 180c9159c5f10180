"""What the user sees if lth itself fails: the traceback, and one paragraph that asks to report it."""
import contextlib
import platform
import shlex
import sys
import traceback
from importlib import metadata

from lth import __version__
from lth.cli.console import print_error
from lth.errors import describe


def report_bug(error: Exception) -> None:
    """Print the traceback of an unexpected exception and how to report it, on standard error."""

    # The traceback is printed without being asked for: a bug after hours of training cannot be repeated to get it.
    with contextlib.suppress(OSError):  # of a standard error that cannot be written
        traceback.print_exception(error)
        print_error(f'This is a bug of lth, not a mistake of yours: {describe(error):.200}. Please report it to the '
                    'developers of lth, with the traceback above, this command and these versions: '
                    f'{shlex.join(["lth", *sys.argv[1:]]):.1000} ({_versions()}). Completed rounds are saved.')


def _versions() -> str:
    """The versions of lth, Python and torch, and the platform; torch is not imported for it."""

    return ', '.join([f'lth {__version__}', f'torch {_torch_version()}', f'Python {platform.python_version()}',
                      platform.platform()])


def _torch_version() -> str:
    try:
        return metadata.version('torch')
    except metadata.PackageNotFoundError:
        return 'not installed'
