"""The progress display: bars on a recorded terminal, plain lines in a file or pipe."""
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from lth import experiments
from lth.cli.progress import CountDisplay, ProgressDisplay, duration
from lth.experiments.changes import Changes
from lth.experiments.plan import Plan
from lth.experiments.reporter import SeedProgress


@pytest.fixture(scope='module')
def plan() -> Plan:
    """Three rounds of two epochs of 21 steps."""

    return experiments.resolve.ticket_plan(
        'lenet-300-100', 'digits', Changes(2, {'algorithm.rounds': 2}))


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), record=True, force_terminal=True, width=width, legacy_windows=False)


def frames(console: Console) -> list[str]:
    """The text that was on the screen, frame by frame. A frame begins with the title."""

    text = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', console.file.getvalue())
    return ['lenet-300-100 on digits' + frame for frame in text.split('lenet-300-100 on digits')[1:]]


@pytest.mark.parametrize('width', [80, 120])
def test_a_terminal_shows_one_bar_per_seed_with_round_density_epoch_and_accuracies(plan, clock, width):
    console = terminal(width)
    with ProgressDisplay(plan, [0, 7], console) as display:
        display.progress(SeedProgress((0,), 0, 0))
        display.progress(SeedProgress((7,), 0, 0))
        clock.now += 10
        display.progress(SeedProgress((0,), 1, 21, (0.5,), (0.625,)))
    title, heading, first, second = frames(console)[-1].strip().splitlines()[:4]
    # 63 of 252 steps took 10 seconds.
    assert title.strip() == 'lenet-300-100 on digits  elapsed 0:10, about 0:30 left'
    assert heading.split() == ['seed', 'round', 'weights', 'epoch', 'all', 'rounds', 'validation', 'test']
    assert first.split()[:4] == ['0', '1/2', '80.20%', '1.0/2'] and first.split()[-2:] == ['50.00%', '62.50%']
    assert second.split()[:4] == ['7', '0/2', '100.00%', '0.0/2'] and '%' not in second.split()[-1]
    assert '━' in first and max(map(len, (title, heading, first, second))) <= width


def test_seeds_that_train_together_share_a_report_and_have_their_own_accuracies(plan, clock):
    console = terminal()
    with ProgressDisplay(plan, [3, 4], console) as display:
        display.progress(SeedProgress((3, 4), 0, 42, (0.1, 0.2), (0.3, 0.4)))
        clock.now += 1
    rows = [line.split() for line in frames(console)[-1].splitlines() if line.strip()[:1] in ('3', '4')]
    assert [(row[0], row[-1]) for row in rows] == [('3', '30.00%'), ('4', '40.00%')]


def test_messages_stay_above_the_bars_and_brackets_are_printed_as_they_are(plan, clock):
    console = terminal()
    with ProgressDisplay(plan, [0], console) as display:
        display.progress(SeedProgress((0,), 0, 0))
        display.message('Engine: [eager] on cpu')
    assert 'Engine: [eager] on cpu' in console.file.getvalue()


def test_a_file_gets_a_line_when_a_round_is_saved_and_otherwise_every_thirty_seconds(plan, clock):
    console = Console(file=io.StringIO(), width=80)
    with ProgressDisplay(plan, [0], console) as display:
        display.progress(SeedProgress((0,), 0, 0))
        display.progress(SeedProgress((0,), 0, 10))
        assert console.file.getvalue() == ''
        clock.now += 31
        display.progress(SeedProgress((0,), 0, 21, (0.5,), (0.6,)))
        clock.now += 29
        display.progress(SeedProgress((0,), 0, 30))
        display.round_saved(SeedProgress((0,), 0, 42, test=(0.7,), saved=True))
    # From the second report on, 11 steps took 31 seconds and 105 remain; later 32 took 60, and 84 remain.
    assert console.file.getvalue().splitlines() == [
        'seed 0  round 0/2  100.00% of weights  epoch 1.0/2  test 60.00%  elapsed 0:31, about 4:56 left',
        'seed 0  round 0/2  100.00% of weights  done  test 70.00%  elapsed 1:00, about 2:38 left']


def test_the_remaining_time_leaves_out_the_start_of_training_once_a_third_report_came(plan, clock):
    console = Console(file=io.StringIO(), width=80)
    with ProgressDisplay(plan, [0], console) as display:
        display.progress(SeedProgress((0,), 0, 0))
        for seconds, step in ((0, 0), (60, 2), (10, 22), (10, 42)):
            clock.now += seconds
            display.round_saved(SeedProgress((0,), 0, step))
    # 124 steps remain after the second report, at 30 s for each; later 104 and 84, at 0.5 s for each.
    assert [line.split('  ')[-1] for line in console.file.getvalue().splitlines()] == [
        'elapsed 0:00', 'elapsed 1:00, about 1:02:00 left', 'elapsed 1:10, about 0:52 left',
        'elapsed 1:20, about 0:42 left']


def test_a_seed_that_starts_later_keeps_the_speed_of_the_others(plan, clock):
    console = Console(file=io.StringIO(), width=80)
    with ProgressDisplay(plan, [0, 7], console) as display:
        display.progress(SeedProgress((0,), 0, 0))
        clock.now += 63
        display.round_saved(SeedProgress((0,), 2, 42, saved=True))
        clock.now += 3
        display.progress(SeedProgress((7,), 0, 0))
        clock.now += 1
        display.round_saved(SeedProgress((7,), 0, 8))
    # 126 + 8 steps took 67 seconds, 118 steps remain.
    assert console.file.getvalue().strip().endswith('elapsed 1:07, about 0:59 left')


def test_the_remaining_time_of_a_resumed_run_counts_the_steps_of_this_session_only(plan, clock):
    console = Console(file=io.StringIO(), width=80)
    with ProgressDisplay(plan, [0], console) as display:
        display.progress(SeedProgress((0,), 1, 0))
        clock.now += 40
        display.round_saved(SeedProgress((0,), 1, 42, saved=True))
    assert console.file.getvalue().strip().endswith('elapsed 0:40, about 0:40 left')


def test_the_last_line_gives_no_remaining_time(plan, clock):
    console = Console(file=io.StringIO(), width=80)
    with ProgressDisplay(plan, [0], console) as display:
        display.progress(SeedProgress((0,), 0, 0))
        clock.now += 126
        display.round_saved(SeedProgress((0,), 2, 42, saved=True))
    assert console.file.getvalue().strip().endswith('elapsed 2:06')


def test_rounds_shorter_than_an_epoch_are_shown_in_steps(clock):
    short = experiments.resolve.ticket_plan(
        'lenet-300-100', 'digits', Changes(None, {'training.length': '5 iterations', 'algorithm.rounds': 1}))
    console = Console(file=io.StringIO(), width=80)
    with ProgressDisplay(short, [0], console) as display:
        clock.now += 31
        display.progress(SeedProgress((0,), 0, 3))
    assert 'epoch 3/5 steps' in console.file.getvalue()


def test_a_count_is_a_bar_on_a_terminal_and_a_line_in_a_file(clock):
    console = terminal()
    with CountDisplay('images', console) as display:
        display.update(3, 10)
    assert re.search(r'images .*━.* 3/10', re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', console.file.getvalue()))
    file = Console(file=io.StringIO(), width=80)
    with CountDisplay('images', file) as display:
        display.update(3, 2000)
        clock.now += 75
        display.update(2000, 2000)
    assert file.file.getvalue() == '2,000 of 2,000 images  elapsed 1:15\n'


@pytest.mark.parametrize(('seconds', 'text'), [(0.4, '0:00'), (61, '1:01'), (2504, '41:44'), (3600 + 2504, '1:41:44')])
def test_durations_are_shown_as_on_a_clock(seconds, text):
    assert duration(seconds) == text


def test_a_search_without_a_terminal_prints_a_line_for_each_round(lth):
    result = lth('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1')
    lines = [line.partition('  test')[0] for line in result.err.splitlines()]
    assert [line for line in lines if line.endswith('done')] == [
        'seed 0  round 0/1  100.00% of weights  done', 'seed 0  round 1/1  80.20% of weights  done']
    assert Path('runs/lenet-300-100-digits').is_dir()
    finetuned = lth('finetune', 'lenet-300-100-digits', '-e', '1')
    assert 'seed 0  round 1/1  80.20% of weights  done' in finetuned.err  # as in its table
