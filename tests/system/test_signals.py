"""Signals in a program that uses the Python API, and in the command line at random instants."""
import signal
import subprocess
import sys
import threading
import time

import pytest

from lth.system import signal_handlers, signals
from tests.running_processes import is_running


def test_a_signal_is_recorded_while_work_is_deferred_and_raised_where_it_checks():
    with pytest.raises(signals.Interrupted) as caught, signal_handlers.recorded(), signals.deferred():
        signal.raise_signal(signal.SIGINT)
        assert signals.requested() == signal.SIGINT
        signals.check()
    assert caught.value.number == signal.SIGINT and signals.requested() is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_arrives_after_the_last_check_is_raised_at_the_end_of_the_deferred_work():
    done = False
    with pytest.raises(signals.Interrupted), signal_handlers.recorded(), signals.deferred():
        signal.raise_signal(signal.SIGINT)
        done = True
    assert done


def test_a_second_signal_interrupts_deferred_work_at_once():
    with pytest.raises(signals.Interrupted), signal_handlers.recorded(), signals.deferred():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # the same one, as `timeout` sends it
        time.sleep(0.25)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError('not interrupted')


def test_deferred_work_that_does_not_check_is_interrupted_after_the_limit(monkeypatch):
    monkeypatch.setattr(signals, 'LIMIT_SECONDS', 0.3)
    start = time.monotonic()
    with pytest.raises(signals.Interrupted), signal_handlers.recorded(), signals.deferred():
        signal.raise_signal(signal.SIGINT)
        time.sleep(20)
    assert time.monotonic() - start < 10


def test_sigterm_is_sent_again_to_the_handler_of_the_program():
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        with pytest.raises(signals.Interrupted), signal_handlers.recorded(), signals.deferred():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]


def test_other_threads_change_no_handler():
    handlers = []

    def run() -> None:
        with signal_handlers.recorded():
            handlers.append(signal.getsignal(signal.SIGINT))
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


PROGRAM = '''
import os, subprocess, sys, time
from lth.system import signal_handlers, signals
signals.LIMIT_SECONDS = float(sys.argv[2])
signal_handlers.end_on_signals('to resume')
child = subprocess.Popen(['sleep', '100'])
print(child.pid, flush=True)
class Slow:
    def __del__(self):
        time.sleep(0.5)
with signals.deferred():
    print('deferred', flush=True)
    while not (sys.argv[1] == 'checks' and signals.requested()):
        Slow()
signals.end()
'''


# Far apart, so that only what is meant ends the work, also on a busy machine: a check, a second signal, or the limit.
@pytest.mark.parametrize(('work', 'again', 'limit'), [
    ('checks', False, 60.), ('hangs', True, 60.), pytest.param('hangs', False, 1., marks=pytest.mark.slow)])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_and_its_children_without_a_traceback(work, again, limit, number):
    with subprocess.Popen([sys.executable, '-c', PROGRAM, work, str(limit)], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert process.stdout.readline() == 'deferred\n'
        start = time.monotonic()
        process.send_signal(number)
        if again:
            time.sleep(0.4)
            process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - start < 30
    assert (process.returncode, errors) == (128 + number, 'to resume\n')
    # It was killed, but a busy machine may take a moment to end it.
    while is_running(child):
        assert time.monotonic() - start < 30
        time.sleep(0.01)


def test_a_command_that_was_started_with_nohup_ignores_sighup():
    program = PROGRAM.replace("signal_handlers.end_on_signals('to resume')", '''
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal_handlers.end_on_signals('to resume')
signal.raise_signal(signal.SIGHUP)''')
    with subprocess.Popen([sys.executable, '-c', program, 'checks', '60'], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.stdout.readline() == 'deferred\n'
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
