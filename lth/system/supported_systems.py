"""Operating systems on which lth does not run. Imports nothing that they lack."""
import sys

from lth.errors import ENVIRONMENT_ERROR, LthError


def refuse_windows() -> None:
    """LthError on Windows, which has no locks, signals and limits of POSIX."""

    if sys.platform == 'win32':
        raise LthError('lth does not run on Windows: it uses file locks and signals of POSIX. Install and start it in '
                       'the Windows Subsystem for Linux (wsl --install), which is a Linux.',
                       exit_code=ENVIRONMENT_ERROR)
