"""Memory that runs out in training or measuring: one paragraph, exit code 3, and completed rounds are kept."""
from pathlib import Path

import pytest
import torch

import lth as api
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.training.engines import metrics
from lth.training.engines.step import TrainingStep

SEARCH = 'find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '1', '--engine', 'eager', '--run', 'found'
MESSAGE = 'DefaultCPUAllocator: can\'t allocate memory: you tried to allocate 3221225472 bytes.'
EXPLAINED = ('cpu ran out of memory while training lenet-300-100 with batches of 60 in fp32: 3.00 GiB more are needed. '
             'Use smaller batches')


@pytest.fixture(name='lose_memory')
def lose_memory_after(monkeypatch):
    """A function that lets memory run out after this number of steps."""

    run = TrainingStep.run

    def lose_memory(steps: int) -> None:
        left = iter(range(steps))

        def run_or_fail(*arguments, **options):
            if next(left, None) is None:
                raise RuntimeError(MESSAGE)
            return run(*arguments, **options)
        monkeypatch.setattr(TrainingStep, 'run', run_or_fail)
    return lose_memory


def test_a_search_keeps_its_completed_rounds_when_memory_runs_out_and_is_resumed(lth, lose_memory):
    lose_memory(30)  # a round has 21 steps
    result = lth(*SEARCH)
    assert result.code == 3 and EXPLAINED in ' '.join(result.err.split()) and 'Traceback' not in result.err
    assert [path.name for path in Path('runs/found/seed-0').iterdir()] == ['round-00']
    lose_memory(42)
    assert lth(*SEARCH).code == 0
    assert len(list(Path('runs/found/seed-0').iterdir())) == 3


def test_the_python_api_raises_the_same_error(tmp_path, monkeypatch, lose_memory):
    monkeypatch.chdir(tmp_path)
    for train in (lambda: api.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, run='mine', engine='eager'),
                  lambda: list(api.iterate('lenet-300-100', 'digits', rounds=1, epochs=1, engine='eager'))):
        lose_memory(5)
        with pytest.raises(LthError) as raised:
            train()
        assert str(raised.value).startswith(EXPLAINED) and raised.value.exit_code == ENVIRONMENT_ERROR


def test_evaluate_and_sanity_checks_end_when_memory_runs_out(lth, monkeypatch, lose_memory):
    lth(*SEARCH)
    lose_memory(50)  # after the original and the dense network, within the check
    result = lth('sanity-check', 'found', '--checks', 'reinit', '-e', '1', '--engine', 'eager')
    assert result.code == 3 and EXPLAINED in ' '.join(result.err.split())

    def fail(*_arguments):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 1.00 GiB.')
    monkeypatch.setattr(metrics, 'summed_metrics', fail)
    result = lth('evaluate', 'found')
    assert result.code == 3
    assert 'ran out of memory while measuring runs/found: 1.00 GiB more are needed. Use another device.' in ' '.join(
        result.err.split())


def test_images_that_do_not_fit_into_memory_are_an_error(lth, monkeypatch, tmp_path):
    def fail(*_arguments):
        raise MemoryError
    monkeypatch.setattr('lth.experiments.plan.resize_dataset', fail)
    result = lth(*SEARCH)
    assert result.code == 3 and 'cpu ran out of memory while reading digits. Use another device.' in ' '.join(
        result.err.split())
    assert not list((tmp_path / 'runs/found').glob('seed-*'))
