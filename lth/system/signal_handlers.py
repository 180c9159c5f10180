"""How signals reach a process: a command line and a Python program from the system, a worker from its parent.

No exception is raised at a random place, where imports or destructors would turn it into a traceback.
"""
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from lth.system import signals
from lth.system.process_tree import kill_descendants
from lth.system.signals import NUMBERS, state

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

# `timeout` sends its signal twice: to the process, and to the group that it is in.
_SAME_SECONDS = 0.2
_POLL_SECONDS = 0.05
_ending = threading.Lock()


def end_on_signals(message: str) -> None:
    """From now on end this process on a signal as the module says: print the message, and exit with 128 + the signal's
    number. To be called by the main thread of the command line, before anything else takes time.
    """

    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def end_process(number: int) -> NoReturn:
        # On a terminal, progress bars hide the cursor.
        start = '\x1b[?25h\n' if os.isatty(2) and threading.current_thread() is not threading.main_thread() else ''
        _end_process(number, f'{start}{message}\n' if message else '')
    state.end = end_process
    # A thread reads the numbers: the handlers of the main thread have to wait for code that is not Python.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as with nohup
            signal.signal(number, _do_nothing)
    _start_thread(_watch, _PipeSignals(reader), end_process)
    os.register_at_fork(after_in_child=_forget)
    _silence_errors()


def obey(parent: 'Connection', on_writing: Callable[[], object]) -> None:
    """End this process, a worker, when its parent sends the number of a signal. `on_writing` is called when it writes a
    checkpoint before.
    """

    def next_signal(timeout: float | None) -> int | None:
        try:
            return int(parent.recv()) if parent.poll(timeout) else None
        except (EOFError, OSError):
            threading.Event().wait()  # the parent has ended, which ends this process too
            return None
    state.end, state.on_writing = lambda number: _end_process(number, ''), on_writing
    _start_thread(_watch, next_signal, state.end)
    _silence_errors()


def leave_to_parent() -> None:
    """Ignore signals in this process, a worker. Unlike SIG_IGN, programs that it starts do not inherit that."""

    for number in NUMBERS:
        signal.signal(number, _do_nothing)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NUMBERS)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Let a process that is started in the block begin with all these signals blocked."""

    before = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def recorded() -> Iterator[None]:
    """For a run in another program than the command line: in the block, a signal raises Interrupted as the module says.

    Afterwards the handlers are those from before, and a signal other than Ctrl-C is sent again. Nothing is changed
    where signals are handled already, and in other threads than the main one.
    """

    if state.end or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in NUMBERS}
    timers: list[threading.Timer] = []
    start = 0.

    def record(number: int, _frame: FrameType | None) -> None:
        nonlocal start
        if state.number is None:
            state.number, start = number, time.monotonic()
            if state.deferrals:
                timers.append(_start_timer(number))
                return
        elif time.monotonic() - start < _SAME_SECONDS:
            return
        raise signals.Interrupted(number)
    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, record)
    try:
        yield
    finally:
        asked, state.number = state.number, None
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        if asked not in (None, signal.SIGINT):
            signal.raise_signal(asked)


class _NextSignal(Protocol):
    """Waits for a signal."""

    def __call__(self, timeout: float | None) -> int | None:
        """The number of the next signal, None if there is none within the time in seconds."""


class _PipeSignals:
    """The numbers of signals, which Python writes as bytes into a pipe."""

    def __init__(self, reader: int) -> None:
        self._reader = reader

    def __call__(self, timeout: float | None) -> int | None:
        """The next number that asks the process to end."""

        while select.select([self._reader], [], [], timeout)[0]:
            number = os.read(self._reader, 1)[0]
            if number in NUMBERS:
                return number
        return None


def _watch(next_signal: _NextSignal, end_process: Callable[[int], NoReturn]) -> None:
    """Wait for a signal, give deferred work the time to end, and end the process."""

    number = None
    while number is None:
        number = next_signal(None)
    state.number, start, waited = number, time.monotonic(), 0.
    while state.deferrals and waited < signals.LIMIT_SECONDS:
        if next_signal(_POLL_SECONDS) is not None and time.monotonic() - start > _SAME_SECONDS:
            break
        waited += 0. if state.writers else _POLL_SECONDS
    end_process(number)


def _start_timer(number: int) -> threading.Timer:
    """Send the signal again when its time is over, unless a checkpoint is being written."""

    def send() -> None:
        while state.writers:
            time.sleep(_POLL_SECONDS)
        os.kill(os.getpid(), number)
    timer = threading.Timer(signals.LIMIT_SECONDS, send)
    timer.daemon = True
    timer.start()
    return timer


def _start_thread(function: Callable[..., object], *arguments: Any) -> None:
    threading.Thread(target=function, args=arguments, daemon=True).start()


def _end_process(number: int, message: str) -> NoReturn:
    """End this process and all that it started. Only the first thread that calls it does anything."""

    _ending.acquire()  # pylint: disable=consider-using-with # never released
    kill_descendants()
    with contextlib.suppress(OSError):
        os.write(2, message.encode(errors='replace'))
    os._exit(128 + number)  # pylint: disable=protected-access # without destructors, which take FFCV 5 s


def _silence_errors() -> None:
    """Print no traceback after a signal: it also ends compilers, and what waits for them fails."""

    print_error, print_unraisable, print_in_thread = sys.excepthook, sys.unraisablehook, threading.excepthook

    def report(*error: Any) -> None:
        signals.end()
        print_error(*error)
    sys.excepthook = report
    sys.unraisablehook = lambda error: None if signals.requested() else print_unraisable(error)
    threading.excepthook = lambda error: None if signals.requested() else print_in_thread(error)


def _forget() -> None:
    """In a process forked by other packages: handle signals as Python does by default."""

    signal.set_wakeup_fd(-1)
    state.end = None
    for number in NUMBERS:
        if signal.getsignal(number) is _do_nothing:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal without an exception; the watching thread acts."""
