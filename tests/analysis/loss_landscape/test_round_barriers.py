"""lth stability --between-rounds: barriers between successive rounds, and whether they agree with matching."""
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import lth as package
from lth.analysis.loss_landscape import round_barriers
from lth.analysis.loss_landscape.barrier_files import BARRIERS, RoundErrors, RoundPair
from lth.analysis.loss_landscape.barrier_table import BarrierRow, BarrierTable, agreement
from lth.analysis.loss_landscape.round_barriers import compare_rounds, project
from lth.analysis.plotting import figure_set
from lth.analysis.plotting.series import NoData
from lth.analysis.figures import FIGURES
from lth.analysis.statistics import Interval
from lth.errors import LthError
from lth.pruning.tickets import Round, Ticket, dense_ticket, train_ticket
from lth.runs.checked_json import encode_checked
from lth.runs.run_path import RunPath, parse_run_path
from lth.experiments.open_run import open_run
from lth.training.loop import accuracy
from lth.training.task import Task
from tests.conftest import make_task
from tests.printed_json import printed_json

PAIR = RoundPair(seed=0, round=1, points=3)
ERRORS = RoundErrors([0.1, 0.5, 0.3], [0.4, 0.3, 0.3])


def two_rounds(task: Task) -> tuple[Round, Round]:
    """The dense network after training, and a ticket with a third of its weights after training."""

    dense = dense_ticket(task)
    mask = torch.rand(dense.mask.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    weights = dense.weights.clone()
    weights[:, :mask.shape[1]] *= mask
    ticket = Ticket(mask, weights, dense.buffers, 0)
    return Round(0, dense, train_ticket(task, dense)), Round(1, ticket, train_ticket(task, ticket))


def measure(lth, *options: str) -> dict:
    return printed_json(lth, 'stability', 'lenet-300-100-digits', '--between-rounds', '--points', '3', *options)


@pytest.mark.parametrize('model', ['lenet-300-100', 'resnet20'])
def test_the_barrier_of_a_round_with_itself_is_0(model):
    task = make_task(model, shape=(3, 8, 8))
    dense, later = two_rounds(task)
    errors = compare_rounds(task, dense, dense, points=4)
    assert errors.barrier == 0 and errors.pruning_cost == 0 and errors.errors == errors.projected
    assert compare_rounds(task, later, later, points=2).barrier == 0


def test_errors_are_measured_on_the_line_from_the_earlier_round_and_from_its_projection():
    task = make_task()
    dense, later = two_rounds(task)
    result = compare_rounds(task, dense, later, points=3)
    count = later.ticket.mask.shape[1]
    pruned = dense.trained.weights.clone()
    pruned[:, :count] *= later.ticket.mask
    ends = dense.trained.weights, later.trained.weights

    def error(weights):
        return 1 - accuracy(task, replace(dense.trained, weights=weights))[0]
    assert result.errors == pytest.approx([error(ends[0]), error((ends[0] + ends[1]) / 2), error(ends[1])])
    assert result.projected == pytest.approx([error(pruned), error((pruned + ends[1]) / 2), error(ends[1])])
    assert not torch.equal(pruned, ends[0]) and not torch.equal(pruned, ends[1])


def test_a_pruned_weight_has_the_value_in_the_projection_that_it_has_in_the_later_round():
    task = make_task()
    dense, later = two_rounds(task)
    mask, count = later.ticket.mask, later.ticket.mask.shape[1]
    frozen = later.trained.weights.clone()
    frozen[:, :count][~mask] = 7
    projected = project(dense.trained, replace(later, trained=replace(later.trained, weights=frozen))).weights
    assert bool((projected[:, :count][~mask] == 7).all())
    assert torch.equal(projected[:, :count][mask], dense.trained.weights[:, :count][mask])
    assert torch.equal(projected[:, count:], dense.trained.weights[:, count:])


def test_a_round_that_keeps_a_weight_pruned_before_is_refused():
    task = make_task()
    dense, later = two_rounds(task)
    with pytest.raises(LthError, match='Round 0 keeps weights that round 1 prunes'):
        compare_rounds(task, later, dense, points=2)


def test_barrier_and_cost_of_pruning_by_hand():
    assert ERRORS.barrier == pytest.approx(0.3) and ERRORS.pruning_cost == pytest.approx(0.3)


@pytest.mark.parametrize(('connected', 'matching', 'expected'), [
    ('yes', 'matching', 'yes'), ('no', 'worse', 'yes'), ('yes', 'worse', 'no'), ('no', 'matching', 'no'),
    ('undecided', 'matching', 'undecided'), ('no', 'undecided', 'undecided'), ('yes', None, 'undecided')])
def test_a_barrier_agrees_with_matching_if_both_or_neither_hold(connected, matching, expected):
    assert agreement(connected, matching) == expected


def row(number: int, connected: str, matching: str | None, *, seeds: int = 3) -> BarrierRow:
    """A row with this verdict."""

    interval = Interval(0.01, 0.001 if seeds > 1 else None, seeds)
    return BarrierRow(number, 0.5, interval, interval, interval, interval, connected, matching,
                      agreement(connected, matching))


def test_sentences_say_where_barriers_agree_with_matching():
    rows = [row(1, 'yes', 'matching'), row(2, 'yes', 'matching'), row(3, 'no', 'matching'), row(4, 'yes', 'worse'),
            row(5, 'no', 'worse'), row(6, 'undecided', 'worse')]
    claim, *sentences = BarrierTable(rows, 'end', 0.002).sentences()
    assert 'if and only if' in claim and 'accuracy at the end is at most 0.2 points lower' in claim
    assert sentences == [
        'The barrier agrees with the verdict in rounds 1, 2, 5.',
        'It disagrees in round 3: there is a barrier, but it matches.',
        'It disagrees in round 4: there is no barrier, but it does not match.', 'Undecided: round 6.']
    single = BarrierTable([row(1, 'undecided', 'undecided', seeds=1)], 'end', 0.002).sentences()
    assert single[-1].endswith('A single seed has no confidence interval: add two or more seeds.')
    (unknown,) = BarrierTable([row(1, 'yes', None)], 'end', 0.002).sentences()
    assert 'no dense network' in unknown


@pytest.mark.usefixtures('run')
def test_every_round_is_compared_with_the_one_before_and_the_ends_are_the_recorded_accuracies(lth, run):
    output = measure(lth)
    assert [(pair['seed'], pair['round']) for pair in output['pairs']] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    _, stored = open_run(RunPath(run))
    for pair in output['pairs']:
        errors, number = pair['errors_percent'], pair['round']
        first, last = (stored.record(pair['seed'], one).test_accuracy for one in (number - 1, number))
        assert (errors[0], errors[-1]) == pytest.approx((100 * (1 - first), 100 * (1 - last)), abs=1e-6)
        assert pair['projected_errors_percent'][-1] == errors[-1]
    barriers = [pair['barrier_points'] for pair in output['pairs'] if pair['round'] == 2]
    last = output['rows'][-1]
    assert last['barrier_points']['mean'] == pytest.approx(sum(barriers) / 2) and last['barrier_points']['n'] == 2
    assert last['density_percent'] == pytest.approx(64.3, abs=0.1)
    shown = json.loads(lth('show', 'run', run.name, '--json').out)
    assert last['test_accuracy_percent'] == shown['rounds'][-1]['test_accuracy_percent']
    assert output['sentences'] and output['notes'] == []


def test_the_verdict_on_matching_is_that_of_the_answers(lth, run):
    shown = json.loads(lth('show', 'run', run.name, '--json', '--margin', '100').out)
    answer = shown['answers'][0]['tickets']
    output = measure(lth, '--margin', '100')
    assert [row_['matching'] for row_ in output['rows']] == [level['verdict'] for level in answer['levels']]
    assert output['margin_points'] == 100 and output['accuracy_at'] == answer['accuracy_at']
    text = ' '.join(lth('stability', run.name, '--between-rounds', '--points', '3', '--margin', '100').out.split())
    assert 'at most 100 points lower' in text and f'Measurements: {run}-stability' in text


def test_only_missing_pairs_are_measured_again_with_equal_results(lth, run, monkeypatch):
    output = measure(lth)
    files = sorted(Path(f'{run}-stability').iterdir())
    contents = [file.read_bytes() for file in files]
    assert len(files) == 4
    files[1].unlink()
    assert measure(lth) == output and [file.read_bytes() for file in files] == contents
    monkeypatch.setattr(round_barriers, 'compare_rounds', None)  # calling it would fail
    assert measure(lth, '--rounds', '1')['pairs'] == [pair for pair in output['pairs'] if pair['round'] == 1]


def test_rounds_that_were_thinned_are_named(lth, run):
    _, stored = open_run(RunPath(run))
    shutil.copytree(run, 'runs/other')
    before = measure(lth, '--rounds', '1')
    for seed in (0, 1):
        stored.thin(seed, 1, 'tickets')
        open_run(RunPath(Path('runs/other')))[1].thin(seed, 1, 'tickets')
    output = measure(lth)
    assert output['pairs'] == before['pairs']  # what was measured before is still there
    sentence = 'the option --keep removed the trained weights of round 1, so the barrier before round 2'
    assert len(output['notes']) == 1 and sentence in output['notes'][0]
    result = lth('stability', run.name, '--between-rounds', '--points', '3', '--rounds', '2')
    assert result.code == 2 and sentence in ' '.join(result.err.split())
    assert 'rounds that can be measured: --rounds 1.' in ' '.join(result.err.split())
    nothing_left = lth('stability', 'other', '--between-rounds')
    assert nothing_left.code == 2 and 'before rounds 1, 2 cannot be measured' in ' '.join(nothing_left.err.split())
    assert 'other' in nothing_left.err and '--rounds' not in nothing_left.err and '--keep all' in nothing_left.err
    assert not Path('runs/other-stability').exists()


@pytest.mark.parametrize(('options', 'message'), [
    (('RUN/seed-0',), 'is a part of a run'), (('RUN', '--rounds', '0'), 'round 0 has no round before it'),
    (('RUN', '--rounds', '3'), 'has no round 3 of all seeds [0, 1]; its rounds are 0 to 2'),
    (('dense',), 'dense has one round that all seeds have, but a barrier lies between two successive rounds'),
    (('RUN', '--pairs', '2'), '--between-rounds cannot be combined with --pairs'),
    (('RUN', '--part-at', '0'), '--between-rounds cannot be combined with --part-at'),
    (('RUN', '--restart'), '--between-rounds cannot be combined with --restart')])
def test_what_has_no_barriers_between_rounds_is_refused(lth, run, options, message):
    shutil.copytree(run, 'runs/dense', ignore=shutil.ignore_patterns('round-01', 'round-02'))
    given = [option.replace('RUN', run.name) for option in options]
    result = lth('stability', *given, '--between-rounds')
    assert result.code == 2 and message in ' '.join(result.err.split())
    assert not list(Path('runs').glob('*-stability'))


def test_a_margin_needs_barriers_between_rounds(lth, run):
    result = lth('stability', run.name, '--margin', '1')
    assert result.code == 2 and '--margin has an effect only with --between-rounds' in ' '.join(result.err.split())


def test_runs_whose_rounds_do_not_prune_each_other_are_refused(lth, run):
    lth('finetune', f'{run.name}/seed-0', '-e', '1')
    result = lth('stability', f'{run.name}-finetuned-seed-0-round-02', '--between-rounds')
    assert result.code == 2 and f'Give the run of the search, {run}.' in ' '.join(result.err.split())
    lth('find-gem', 'lenet-300-100', 'digits', '--density', '0.5', '-e', '2', '--run', 'gem', '--set',
        'algorithm.freeze_every=1 epochs')
    result = lth('stability', 'gem', '--between-rounds')
    assert result.code == 2 and 'does not train each round from a ticket on' in ' '.join(result.err.split())


def test_with_learning_rate_rewinding_each_round_starts_on_the_projection_of_the_round_before(lth):
    lth('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '2', '--seeds', '0', '--retrain',
        'learning-rate-rewinding', '--run', 'lrr')
    result = lth('stability', 'lrr', '--between-rounds', '--points', '3', '--json')
    (pair,) = json.loads(result.out)['pairs']
    _, stored = open_run(RunPath(Path('runs/lrr')))
    first = stored.metrics(0, 1)[0]
    assert pair['projected_errors_percent'][0] == pytest.approx(100 * (1 - first.test_accuracy), abs=1e-6)


@pytest.mark.parametrize('change', [
    lambda text: text.replace('"seed": 0', '"seed": 1'), lambda text: text[:-3], lambda text: '',
    lambda text: '[' * 5000, lambda text: '{}', lambda text: 'null'])
def test_files_that_were_changed_are_refused_and_repaired(lth, run, change):
    measure(lth, '--rounds', '1')
    file = next(Path(f'{run}-stability').glob('*-seed-0-*'))
    file.write_text(change(file.read_text()))
    result = lth('stability', run.name, '--between-rounds', '--points', '3')
    assert result.code == 2 and file.name in ''.join(result.err.split()) and len(result.err) < 900
    repaired = lth('repair', run.name, '--json')
    assert [Path(one['path']).name for one in json.loads(repaired.out)['damaged']] == [file.name]
    assert lth('stability', run.name, '--between-rounds', '--points', '3').code == 0


@pytest.mark.parametrize(('field', 'value'), [
    ('round', 0), ('errors', [0.5]), ('errors', [0.5, 2., 0.5]), ('projected', None), ('trained', ['a'])])
def test_wrong_fields_are_errors_of_one_paragraph_even_with_their_checksum(run, field, value):
    BARRIERS.write(run, PAIR, ERRORS)
    assert BARRIERS.read(run, PAIR) == ERRORS
    file = BARRIERS.path(run, PAIR)
    raw = json.loads(file.read_text())
    del raw['checksum']
    file.write_bytes(encode_checked(raw | {field: value}))
    with pytest.raises(LthError, match='is damaged or was not written by lth') as caught:
        BARRIERS.read(run, PAIR)
    assert len(str(caught.value)) < 500


def test_a_measurement_of_other_weights_or_of_another_pair_is_refused(run):
    BARRIERS.write(run, PAIR, ERRORS)
    file, other = BARRIERS.path(run, PAIR), replace(PAIR, points=4)
    shutil.copy(file, BARRIERS.path(run, other))
    with pytest.raises(LthError, match='not the file of this measurement'):
        BARRIERS.read(run, other)
    shutil.rmtree(run / 'seed-0/round-01')
    shutil.copytree(run / 'seed-1/round-01', run / 'seed-0/round-01')
    with pytest.raises(LthError, match='measured on other trained weights'):
        BARRIERS.read(run, PAIR)


def test_the_figure_shows_lines_and_barriers_of_the_present_weights(run):
    request = figure_set.FigureRequest(figure_set.open_runs([parse_run_path(str(run))]))
    none = FIGURES.find('round-barriers')(request)
    assert isinstance(none, NoData) and f'lth stability {run} --between-rounds' in none.reason
    for seed, errors in ((0, ERRORS), (1, RoundErrors([0.2, 0.2, 0.2], [0.5, 0.4, 0.2]))):
        BARRIERS.write(run, replace(PAIR, seed=seed), errors)
    BARRIERS.write(run, RoundPair(0, 2, 3), RoundErrors([0.9] * 3, [0.9] * 3))
    file = BARRIERS.path(run, RoundPair(0, 2, 3))
    raw = json.loads(file.read_text())
    del raw['checksum']
    file.write_bytes(encode_checked(raw | {'trained': ['a' * 64, 'b' * 64]}))
    line, projected, barrier = FIGURES.find('round-barriers')(request).panels
    assert [(one.x, round(one.y, 9), one.n) for one in line.series[0].points] == [(0, 15, 2), (0.5, 35, 2), (1, 25, 2)]
    assert [round(one.y, 9) for one in projected.series[0].points] == [45, 35, 25]
    (point,) = barrier.series[0].points
    assert point.y == pytest.approx(15) and math.isclose(point.x, 80.2, abs_tol=0.1)
    assert barrier.references[0].value == 2


def test_barriers_in_python(trained, tmp_path):
    run = shutil.copytree(trained / 'lenet-300-100-digits', tmp_path / 'run')
    result = package.round_barriers(run, rounds=[2], points=3)
    assert [pair for pair, _ in result.pairs] == [RoundPair(0, 2, 3), RoundPair(1, 2, 3)] and result.notes == ()
    (only,) = result.table.rows
    assert only.round == 2 and only.barrier.n == 2
    with pytest.raises(LthError, match='points: 1 is not possible'):
        package.round_barriers(run, points=1)
