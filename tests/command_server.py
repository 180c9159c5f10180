"""A process that has imported lth and forks a copy of itself for every command: a test that kills commands at random
instants then hits their work, not the three seconds of imports. Run as `python -m tests.command_server`.

Each line of its input is a request in JSON, each line of its output an answer: `{"start": ARGUMENTS, "folder": FOLDER}`
is answered with the number of the process, `{"poll": PROCESS}` with its exit code, or null if it is still running.

With `"kill_before"`, the command is killed before it changes a file or folder below its own for the n-th time, counted
from 1; the changes of all its processes are counted in the size of FOLDER/changes. 0 only counts.
"""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn, Self

# What is known of the changes to worker processes: their file, and the one before which the command is killed.
_CHANGES, _KILL_BEFORE = 'LTH_TESTS_CHANGES', 'LTH_TESTS_KILL_BEFORE'
_CHANGING = ('open', 'os.mkdir', 'os.rename', 'os.remove', 'os.rmdir')


class CommandServer:
    """The server as a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with # closed in __exit__
            [sys.executable, '-m', 'tests.command_server'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self, arguments: list[str], folder: Path, *, kill_before: int | None = None) -> int:
        """Start `lth ARGUMENTS` in the folder, in a session of its own; stderr is appended to FOLDER/errors. Changes
        are counted if `kill_before` says before which one the command is killed.
        """

        return int(self._ask({'start': arguments, 'folder': str(folder), 'kill_before': kill_before}))

    def poll(self, process: int) -> int | None:
        """The exit code of a process, negative for a signal, None while it is running."""

        answer = self._ask({'poll': process})
        return None if answer is None else int(answer)

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin and self._process.stdout
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


def serve() -> None:
    """Answer requests until the input ends."""

    import numba  # noqa: F401 pylint: disable=unused-import,import-outside-toplevel
    import torch  # noqa: F401 pylint: disable=unused-import,import-outside-toplevel

    from lth import api, cli  # noqa: F401 pylint: disable=unused-import,import-outside-toplevel
    for line in sys.stdin:
        request = json.loads(line)
        if 'start' in request:
            answer = os.fork() or _run(request['start'], request['folder'], request['kill_before'])
        else:
            process, status = os.waitpid(request['poll'], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if process else None
        print(json.dumps(answer), flush=True)


def _run(arguments: list[str], folder: str, kill_before: int | None) -> NoReturn:
    """Run a command in this process, which was forked for it."""

    os.setsid()
    os.chdir(folder)
    os.dup2(os.open('errors', os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    os.dup2(os.open('output', os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if kill_before is not None:
        Path('changes').write_bytes(b'')
        os.environ |= {_CHANGES: os.path.abspath('changes'), _KILL_BEFORE: str(kill_before)}
        _count_changes()
    sys.argv = ['lth', *arguments]
    from lth.__main__ import main  # pylint: disable=import-outside-toplevel
    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _count_changes() -> None:
    """Count the changes of this process, and kill the command before the chosen one."""

    changes, kill_before = os.open(os.environ[_CHANGES], os.O_WRONLY | os.O_APPEND), int(os.environ[_KILL_BEFORE])
    folder = os.path.dirname(os.environ[_CHANGES]) + os.sep

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGING or event == 'open' and not arguments[2] & os.O_ACCMODE:
            return
        if isinstance(arguments[0], int) or os.path.isabs(arguments[0]) and not str(arguments[0]).startswith(folder):
            return
        os.write(changes, b'.')
        if os.fstat(changes).st_size == kill_before:
            os.kill(os.getsid(0), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)


if __name__ == '__main__':
    serve()
elif __name__ == '__mp_main__' and _CHANGES in os.environ:  # a worker process of a command
    _count_changes()
