"""Commands on several ranks, as torchrun starts them: rank 0 runs the command, the others compute with it."""
import functools
import os
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn, ParamSpec

import typer

from lth import experiments
from lth.cli import bug_report
from lth.cli.command import exit_codes
from lth.cli.console import print_error
from lth.errors import BUG
from lth.system.launch import Launch, launch

P = ParamSpec('P')


def runs_on_ranks(function: Callable[P, None]) -> Callable[P, None]:
    """The command, which all ranks that torchrun has started compute together."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if found := launch():
            experiments.distributed.membership.join(found)
        function(*args, **kwargs)
    setattr(run, 'runs_on_ranks', True)
    return run


def run_on_rank(found: Launch, run_command: Callable[[], None]) -> NoReturn:
    """Run a command line on rank 0, follow it on others, and end this process."""

    # Read when torch is imported. Its messages on lost connections are pages long, and said in a sentence by lth.
    os.environ.setdefault('TORCH_CPP_LOG_LEVEL', 'ERROR')
    code = _exit_code(run_command if found.rank == 0 else functools.partial(_follow, found))
    if found.rank == 0:
        experiments.distributed.membership.end(found, code)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # pylint: disable=protected-access # destructors would wait for ranks that have ended


def _follow(found: Launch) -> None:
    """Compute with rank 0, which alone prints."""

    warnings.simplefilter('ignore')
    try:
        with exit_codes():
            sys.exit(experiments.distributed.membership.follow(found, print_error))
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except Exception as error:  # pylint: disable=broad-exception-caught # whatever is no LthError is a bug
        bug_report.report_bug(error)
        sys.exit(BUG)


def _exit_code(work: Callable[[], None]) -> int:
    """The exit code with which this work asks Python to exit."""

    try:
        work()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
