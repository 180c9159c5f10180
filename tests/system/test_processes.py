"""Worker processes and their children."""
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lth.system import processes
from tests.running_processes import is_running


def test_there_is_at_least_one_slot_even_if_a_process_has_more_threads_than_cores():
    assert processes.available_slots(10_000) == 1
    assert processes.available_slots(1) >= 1


def test_killing_a_process_group_ends_the_children_of_its_leader(tmp_path):
    file = tmp_path / 'child'
    process = processes.start_process_group(_start_child, str(file))
    while not file.exists() or not file.read_text():
        assert process.is_alive()
    processes.kill_process_group(process)
    child = int(file.read_text())
    for _ in range(500):
        if not is_running(child):
            return
        threading.Event().wait(0.01)
    pytest.fail('the child is still running')


def _start_child(file: str) -> None:
    with subprocess.Popen(['sleep', '60']) as child:
        Path(file).write_text(str(child.pid))


@pytest.mark.parametrize('place', ['/proc', '/nowhere'])
def test_workers_are_killed_also_on_systems_without_a_list_of_processes(place):
    code = '\n'.join([
        'import time', 'from pathlib import Path', 'from lth.system import process_tree, processes',
        f"process_tree._PROCESSES = Path('{place}')", 'worker = processes.start_process(time.sleep, 60)',
        'process_tree.kill_descendants()', 'worker.join(20)', 'print(worker.exitcode)'])
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.stdout == '-9\n', done.stderr
