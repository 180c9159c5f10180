"""Where a run is computed: choices that a resumed run keeps, and settings that are changed only if asked."""
from pathlib import Path

import pytest
import torch

from lth.experiments.run_target import RunTarget
from lth.runs.folder import Run
from lth.training.engines import select
from tests.conftest import make_task
from tests.round_files import add_session

GPU = torch.device('cuda', 0)


@pytest.mark.parametrize(('recorded', 'given', 'expected'), [
    ([], None, False), ([], True, True), ([{}], None, False), ([{'deterministic': True}], False, False),
    ([{'deterministic': False}, {'deterministic': True}], None, True)])
def test_a_resumed_run_is_deterministic_as_its_last_session_unless_told_otherwise(tmp_path, recorded, given, expected):
    for entry in recorded:
        add_session(tmp_path, entry | {'device': 'cuda:0'})
    target = RunTarget(tmp_path, Path(), deterministic=given).resumed(Run(tmp_path, {}, make_task().network))
    assert target.deterministic == expected and target.engine == 'auto'


@pytest.mark.parametrize(('threads', 'deterministic', 'calls'), [
    (2, None, [('all', 2, False)]), (2, True, [('all', 2, True)]), (None, None, []), (None, False, []),
    (None, True, [('algorithms',)])])
def test_the_process_is_changed_only_as_far_as_the_target_asks(monkeypatch, threads, deterministic, calls):
    done = []
    monkeypatch.setattr(select, 'configure_process', lambda *, threads, device, deterministic: done.append(
        ('all', threads, deterministic)))
    monkeypatch.setattr(select, 'make_deterministic', lambda device: done.append(('algorithms',)))
    RunTarget(Path(), Path(), 'cuda', threads, deterministic=deterministic).configure_process(GPU)
    assert done == calls
