"""Runs on two ranks: equal to a run of one process, whatever interrupts them, and refused where ranks differ."""
import signal
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from lth.errors import LthError
from lth.experiments import changes, provenance, resolve, runner
from lth.experiments.distributed.follower import Follower
from lth.experiments.distributed.messages import End
from lth.experiments.reporter import SilentReporter
from lth.experiments.run_target import RunTarget
from lth.system import signals
from lth.training.checkpoint_interval import checkpoint_interval
from lth.training.engines.distributed import evaluation
from lth.training.engines.distributed.evaluation import evaluate
from tests.ranks import on_ranks

SETTINGS = {'algorithm.rounds': 1, 'training.length': '25 iterations', 'training.batch_size': 61}


def make_plan(**settings):
    return resolve.ticket_plan('lenet-300-100', 'digits', changes.Changes(options=SETTINGS | settings), device='cpu')


def train_alone(folder, plan, **options):
    target = RunTarget(folder, folder.parent, 'cpu', engine='eager', in_process=True, **options)
    return runner.run_plan(plan, target, [0, 1], SilentReporter())


def train_on_rank(ranks, folder, plan, prepare=None, options=None):
    if prepare:
        prepare(ranks)
    try:
        if ranks.rank:
            return Follower(ranks).follow()
        target = RunTarget(folder, folder.parent, 'cpu', **(options or {}))
        runner.run_plan(plan, target, [0, 1], SilentReporter())
    except KeyboardInterrupt as interrupt:
        return interrupt.number
    finally:
        if ranks.rank == 0:
            ranks.board.publish(End(0))
    return 0


def train_on_ranks(path, name, plan, *arguments):
    store = path / f'store-{len(list(path.iterdir()))}'
    store.mkdir()
    return on_ranks(train_on_rank, store, path / name, plan, *arguments)


def trained(folder, plan):
    run = plan.run(folder)
    return [run.load_round(seed, number) for seed in (0, 1) for number in range(run.round_count(seed))]


def test_two_ranks_write_the_run_of_one_process_also_when_rounds_are_added(tmp_path):
    plan = make_plan()
    train_alone(tmp_path / 'alone', plan)
    assert train_on_ranks(tmp_path, 'ranks', make_plan(**{'algorithm.rounds': 0})) == [0, 0]
    assert train_on_ranks(tmp_path, 'ranks', plan) == [0, 0]
    for ours, theirs in zip(trained(tmp_path / 'ranks', plan), trained(tmp_path / 'alone', plan), strict=True):
        assert_close(ours.trained.weights, theirs.trained.weights, rtol=1e-3, atol=1e-4)
        assert (ours.ticket.mask == theirs.ticket.mask).float().mean() > 0.999
        assert ours.trained.engine == 'eager, 2 ranks'
        for one, other in zip(ours.trained.history, theirs.trained.history, strict=True):
            assert one.test.accuracy == pytest.approx(other.test.accuracy, abs=0.01)
    session = plan.run(tmp_path / 'ranks').sessions()[-1]
    assert (session['ranks'], session['sync_batch_norm']) == (2, False)


def interrupt_second_rank(ranks):
    calls = []

    def evaluate_and_record(*arguments):
        calls.append(1)
        if len(calls) == 3 and ranks.rank:  # the first one after some steps
            signals.request(signal.SIGINT)
        return evaluate(*arguments)
    evaluation.evaluate = evaluate_and_record


def test_a_signal_to_one_rank_ends_all_with_a_checkpoint_from_which_they_resume(tmp_path):
    plan = make_plan(**{'algorithm.rounds': 0})
    options = {'checkpoint_every': checkpoint_interval('7 iterations')}
    train_on_ranks(tmp_path, 'whole', plan)
    assert train_on_ranks(tmp_path, 'stopped', plan, interrupt_second_rank, options) == [signal.SIGINT] * 2
    assert list((tmp_path / 'stopped/seed-0').glob('checkpoint/*'))
    assert train_on_ranks(tmp_path, 'stopped', plan, None, options) == [0, 0]
    for ours, theirs in zip(trained(tmp_path / 'stopped', plan), trained(tmp_path / 'whole', plan), strict=True):
        assert torch.equal(ours.trained.weights, theirs.trained.weights)


def give_second_rank_other_images(ranks):
    if ranks.rank:
        own = provenance.inputs
        provenance.inputs = lambda plan, data: own(plan, data) | {'images': 'others'}


def test_a_rank_with_other_images_is_refused_by_its_name(tmp_path):
    error, code = train_on_ranks(tmp_path, 'run', make_plan(), give_second_rank_other_images)
    assert isinstance(error, LthError) and code == 0
    assert str(error).startswith('Rank 1 of 2 on ') and 'rank 0 has other images (images: ' in str(error)
    assert not list((tmp_path / 'run').glob('seed-*/round-*'))


def test_options_and_batches_that_ranks_cannot_train_with_are_refused(tmp_path):
    plan = make_plan()
    for options, message in (
            ({'engine': 'sparse'}, '--engine sparse trains in one process'),
            ({'compile': 'on'}, '--compile on: several ranks'),
            ({'executor': 'ray'}, '--executor ray trains many networks')):
        error, _ = train_on_ranks(tmp_path, 'run', plan, None, options)
        assert message in str(error)
    error, _ = train_on_ranks(tmp_path, 'run', make_plan(**{'training.batch_size': 1}))
    assert str(error).startswith('batch_size: a batch of 1 images is too small for 2 ranks, as each needs an image')


def test_batch_norm_over_other_parts_of_a_batch_is_refused_in_the_same_run(tmp_path):
    plan = resolve.ticket_plan('resnet20', 'digits', changes.Changes(), device='cpu')
    run = plan.run(tmp_path)
    for sessions, target, refused in (
            ([{'ranks': 4}], RunTarget(tmp_path, tmp_path), True),
            ([{'ranks': 4, 'sync_batch_norm': True}, {}], RunTarget(tmp_path, tmp_path), False)):
        known = replace(run)
        object.__setattr__(known, 'sessions', lambda sessions=sessions: sessions)
        if refused:
            with pytest.raises(LthError, match='each of 4 parts of a batch.*over complete batches'):
                provenance.refuse_other_normalization(plan, known, target)
        else:
            provenance.refuse_other_normalization(plan, known, target)
