"""`python -m lth` and `lth`."""
import os
import sys

from lth.errors import BUG, LthError
from lth.system.supported_systems import refuse_windows


def main() -> None:
    """Run the command line; if torchrun has started this process, as one of its ranks."""

    try:
        refuse_windows()
    except LthError as error:
        print(f'Error: {error}', file=sys.stderr)
        sys.exit(error.exit_code)
    # pylint: disable=import-outside-toplevel # these modules need functions of POSIX
    from lth.system import signal_handlers, signals
    from lth.system.launch import launch

    # Before all imports that take time: their code cannot be interrupted by exceptions.
    found = launch()
    signal_handlers.end_on_signals('' if found and found.rank else signals.resume_message())
    # Set before torch is imported, which lth.cli does on first use: threads that spin while they wait make training 4
    # to 40 times slower on a busy machine.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    # The user's code is found in the current folder, as with `python -m lth`.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if found is None:
        _run_command()
        return
    from lth.cli.ranks import run_on_rank
    run_on_rank(found, _run_command)


def _run_command() -> None:
    import typer  # pylint: disable=import-outside-toplevel # see above

    from lth.cli import app, bug_report, command  # pylint: disable=import-outside-toplevel
    from lth.system import streams  # pylint: disable=import-outside-toplevel
    streams.open_closed_streams()
    try:
        with command.exit_codes(), command.partly_read_help():
            try:
                # Completion is installed for the command lth, also by `python -m lth`.
                app(prog_name='lth')
            finally:
                streams.standard_output.flush()
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except Exception as error:  # pylint: disable=broad-exception-caught # whatever is no LthError is a bug
        bug_report.report_bug(error)
        sys.exit(BUG)


if __name__ == '__main__':
    main()
