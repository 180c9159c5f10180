"""Worker processes and their children."""
import subprocess
import threading
from pathlib import Path

import pytest

from lth.system import processes


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
        state = Path(f'/proc/{child}/stat')
        if not state.exists() or state.read_text().split()[2] == 'Z':
            return
        threading.Event().wait(0.01)
    pytest.fail('the child is still running')


def _start_child(file: str) -> None:
    with subprocess.Popen(['sleep', '60']) as child:
        Path(file).write_text(str(child.pid))
