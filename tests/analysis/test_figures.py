"""The figures of runs: which points they have, compared with the files of the runs and with formulas."""
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from scipy import stats

import lth as package
from lth.analysis.figures import FIGURES
from lth.analysis.html_report.plotly_panels import plotly_panels
from lth.analysis.measurement_files import MeasurementFiles
from lth.analysis.pair_files import PAIRS, CopyPair, PairErrors
from lth.analysis.plotting import figure_set, plot
from lth.analysis.plotting.axes import density_axis, percent_axis, shown_rounds
from lth.analysis.plotting.curves import run_curves
from lth.analysis.plotting.palette import color, marker, scale, shades
from lth.analysis.plotting.series import Axis, FigureData, Panel, Point, Reference, Series
from lth.analysis.run_results import RunResults
from lth.errors import LthError
from lth.runs.checked_json import encode_checked
from lth.runs.run_path import parse_run_path

pytestmark = pytest.mark.xdist_group('figures')

MODEL, SEEDS = 'lenet-300-100', (0, 1)


@pytest.fixture(scope='module', name='ticket')
def _ticket(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    """A search with two seeds, three rounds, and a control in two draws."""

    return package.find_ticket(MODEL, 'digits', rounds=2, epochs=2, seeds=SEEDS, controls=['reinit'], control_draws=2,
                               run=tmp_path_factory.mktemp('figures') / 'ticket')


@pytest.fixture(scope='module', name='gem')
def _gem(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    """A gem in two seeds, and the run that finetunes it."""

    gem = package.find_gem(MODEL, 'digits', density=0.2, epochs=3, seeds=SEEDS,
                           settings={'algorithm.freeze_every': '1 epochs'},
                           run=tmp_path_factory.mktemp('figures') / 'gem')
    package.finetune(gem, epochs=2)
    return gem


@pytest.fixture(scope='module', name='sparse')
def _sparse(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    """A sparse training with two seeds and five events in two rounds."""

    return package.train_sparse(
        MODEL, 'digits', method='set', density=0.1, epochs=2, seeds=SEEDS, settings={
            'algorithm.update_every': '6 iterations', 'algorithm.save_every': '1 epoch'},
        run=tmp_path_factory.mktemp('figures') / 'sparse')


def figure(name: str, *folders: Path, rounds: list[int] | None = None) -> FigureData:
    """The figure with this name of the runs in these folders."""

    (found,) = figure_set.figure_set([parse_run_path(str(one)) for one in folders], [name], rounds=rounds).contents
    return found


def series_of(data: FigureData, panel: int, label: str) -> Series:
    """The series with this label in a panel."""

    (found,) = [series for series in data.panels[panel].series if series.label == label]
    return found


def point(x: float, values: Sequence[float], *, factor: float = 1) -> Point:
    """Mean and 95% interval of values, by the formula of Student's t distribution."""

    count = len(values)
    mean = sum(values) / count
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    margin = stats.t.ppf(0.975, count - 1) * deviation / math.sqrt(count)
    return Point(x, factor * mean, factor * (mean - margin), factor * (mean + margin), count)


def approximately(points: Sequence[Point]) -> list[object]:
    """What equals these points but for rounding."""

    return [pytest.approx(one) for one in points]


def test_accuracy_and_early_stop_are_means_of_the_recorded_values_with_intervals(ticket):
    accuracy, rows = figure('accuracy', ticket.folder), {(row.seed, row.round): row for row in ticket.table()}
    for panel, field, factor in ((0, 'test_accuracy', 100), (1, 'early_stop_iteration', 1),
                                 (2, 'early_stop_accuracy', 100)):
        expected = [point(100 * rows[0, number].density, [getattr(rows[seed, number], field) for seed in SEEDS],
                          factor=factor) for number in range(3)]
        series = series_of(accuracy, panel, 'ticket')
        assert list(series.points) == approximately(expected) and not series.dashed
        assert accuracy.panels[panel].references[0].value == pytest.approx(expected[0].y)
    assert [tick.label for tick in accuracy.panels[0].x.ticks] == ['100', '80.2', '64.3']
    assert accuracy.notes == () and '2 seeds' in accuracy.caption


def test_a_control_counts_each_seed_once_by_the_mean_of_its_draws_and_is_dashed(ticket):
    draws = [{(row.seed, row.round): row for row in run.table()} for run in ticket.controls.values()]
    assert len(draws) == 2
    expected = [point(100 * draws[0][0, number].density,
                      [sum(draw[seed, number].test_accuracy for draw in draws) / 2 for seed in SEEDS], factor=100)
                for number in (1, 2)]
    series = series_of(figure('accuracy', ticket.folder), 0, 'reinit')
    assert list(series.points) == approximately(expected) and series.dashed


def test_several_runs_are_told_apart_by_color_and_their_controls_by_dashes_and_markers(ticket):
    both = figure('accuracy', ticket.folder, ticket.folder.parent / 'ticket-controls' / 'reinit')
    series = both.panels[0].series
    assert [one.label for one in series] == ['ticket', 'ticket, reinit', 'reinit']
    assert series[0].color == series[1].color != series[2].color and series[0].marker != series[1].marker
    assert [one.dashed for one in series] == [False, True, False] and both.panels[0].references == ()


def test_learning_curves_have_each_measurement_of_the_requested_rounds(ticket):
    curves = figure('learning-curves', ticket.folder, rounds=[0, 2])
    for panel, field, factor in ((0, 'test_accuracy', 100), (1, 'validation_loss', 1), (2, 'train_loss', 1)):
        assert len(curves.panels[panel].series) == 2
        files = [(ticket.folder / f'seed-{seed}/round-02/metrics.jsonl').read_text() for seed in SEEDS]
        lines = zip(*[map(json.loads, text.splitlines()) for text in files])
        expected = [point(both[0]['iteration'], [line[field] for line in both], factor=factor) for both in lines
                    if both[0][field] is not None]
        assert list(curves.panels[panel].series[1].points) == approximately(expected)


@pytest.mark.parametrize('name', ['sparse', 'gem'])
def test_the_rounds_of_one_training_are_one_learning_curve_unless_rounds_are_requested(request, name):
    run = request.getfixturevalue(name)
    curves = figure('learning-curves', run.folder).panels[0].series
    iterations = [point.x for point in curves[0].points]
    records = [json.loads((run.folder / f'seed-0/round-{row.round:02}/round.json').read_text())['last']
               for row in run.table() if row.seed == 0]
    assert [series.label for series in curves] == ['all rounds'] and iterations == sorted(iterations)
    assert (iterations[0], iterations[-1]) == (0, records[-1]['iteration'])
    assert len(set(curves[0].points)) == len(curves[0].points)
    assert {record['iteration'] for record in records} < set(iterations)
    assert [series.label for series in figure('learning-curves', run.folder, rounds=[1]).panels[0].series] != [
        'all rounds']


@pytest.mark.parametrize(('count', 'shown'), [(1, 1), (2, 2), (9, 9), (10, 4), (21, 7)])
def test_all_of_few_rounds_are_shown_and_of_many_those_at_levels(count, shown):
    rows = [SimpleNamespace(density=0.8 ** number, source_number=number) for number in range(count)]
    found = [row.source_number for row in shown_rounds(SimpleNamespace(rows=rows), None)]
    assert len(found) == shown and (found[0], found[-1]) == (0, count - 1)


def test_two_lines_to_compare_with_differ_in_their_dashes():
    panel = Panel(x=Axis(label='x'), y=Axis(label='y'), references=(
        Reference(label='limit', value=0.2), Reference(label='chance', value=1.0)),
        series=(Series(label='one', color='#000000', points=(Point(1, 0.5), Point(2, 0.6))),))
    data = FigureData(name='pair', title='pair', panels=(panel,))
    drawn = plot.Plot(data).matplotlib().axes[0].get_lines()
    assert len({line.get_linestyle() for line in drawn if line.get_label() in ('limit', 'chance')}) == 2
    assert len({shape['line']['dash'] for shape in plotly_panels(data)[0]['layout']['shapes']}) == 2


def line_figure(y: Axis, *points: Point) -> FigureData:
    """A figure of one line."""

    series = (Series(label='one', color='#000000', points=points),)
    return FigureData(name='one', title='one', panels=(Panel(x=Axis(label='x'), y=y, series=series),))


@pytest.mark.parametrize('ends', [(62, 104), (2.1, 9.9), (1, 5.9), (0.3, 1), (3, 70), (1, 5000)])
def test_a_log_axis_has_at_least_two_labels_however_short_it_is(ends):
    data = line_figure(Axis(label='y', scale='log'), Point(1, ends[0]), Point(2, ends[1]))
    axis = plot.Plot(data).matplotlib().axes[0].yaxis
    low, high = axis.get_view_interval()
    assert 2 <= sum(low <= position <= high for position in axis.get_majorticklocs()) <= 12


def test_intervals_beyond_0_and_100_percent_do_not_widen_an_axis_of_accuracies():
    points = Point(1, 40, -80, 160), Point(2, 45, 30, 60), Point(3, 50, 40, 60)
    for y, expected in ((percent_axis('accuracy (%)'), (-2, 102)), (Axis(label='other'), (-92, 172))):
        data = line_figure(y, *points)
        assert plot.Plot(data).matplotlib().axes[0].get_ylim() == pytest.approx(expected)
        assert ('autorangeoptions' in plotly_panels(data)[0]['layout']['yaxis']) == (expected == (-2, 102))
    inside = line_figure(percent_axis('accuracy (%)'), Point(1, 40), Point(2, 50))
    assert plot.Plot(inside).matplotlib().axes[0].get_ylim() == pytest.approx((39.5, 50.5))


def test_layers_are_those_of_the_masks(ticket):
    layers = figure('layers', ticket.folder)
    masks = [load_file(ticket.folder / f'seed-{seed}/round-02/mask.safetensors') for seed in SEEDS]
    last = layers.panels[1].series[-1].points
    for index, name in enumerate(('dense1.weight', 'dense2.weight', 'output.weight')):
        density = sum(float(mask[name].double().mean()) for mask in masks) / 2
        label = f'{index + 1} {name.removesuffix(".weight")}'
        assert series_of(layers, 0, label).points[2].y == pytest.approx(100 * density) == last[index].y
    assert [one.x for one in last] == [1, 2, 3]


def test_mask_overlap_is_that_of_the_masks_on_disk(ticket):
    overlap = figure('mask-overlap', ticket.folder)
    first, second = [torch.cat([mask.flatten() for mask in load_file(
        ticket.folder / f'seed-{seed}/round-02/mask.safetensors').values()]) for seed in SEEDS]
    shared = float((first & second).sum() / (first | second).sum())
    density = float(first.double().mean())
    assert series_of(overlap, 0, 'masks of two seeds').points[2].y == pytest.approx(100 * shared)
    assert series_of(overlap, 0, 'random masks').points[2].y == pytest.approx(100 * density / (2 - density))
    assert series_of(overlap, 1, 'masks of two seeds').points[2].y == pytest.approx(shared * (2 - density) / density)


def test_operations_of_a_dense_network_are_its_weights(ticket):
    points = series_of(figure('operations', ticket.folder), 0, 'ticket').points
    assert [one.x for one in points] == [50_200, 40_260, 32_298]  # each weight is used once


def test_gems_are_shown_before_and_after_finetuning_with_chance(gem):
    gems = figure('gems', gem.folder)
    finetuned = package.open_run(gem.folder.parent / 'gem-finetuned-round-02').table()
    before = [row.test_accuracy for row in gem.table() if row.round == 2]
    expected = [point(0, before, factor=100), point(1, [row.test_accuracy for row in finetuned], factor=100)]
    assert list(series_of(gems, 0, 'gem').points) == approximately(expected)
    assert gems.panels[0].references[0].value == 10 and len(series_of(gems, 1, 'gem').points) == 3


def test_histograms_of_scores_hold_all_active_weights(gem):
    scores = figure('scores', gem.folder)
    assert [len(series.points) for series in scores.panels[0].series] == [41] * 3
    for series in scores.panels[0].series:
        assert sum(one.y for one in series.points[:-1]) == pytest.approx(100)


def test_sanity_checks_are_the_differences_in_the_report(ticket, tmp_path):
    interval = {'mean': 2., 'margin': 0.5, 'n': 2}
    entry = {'accuracy_percent': interval, 'accuracies_percent': [1., 2.], 'difference_points': interval, 'p': 0.1,
             'changes': [], 'sentence': 'x'}
    fails = entry | {'difference_points': {'mean': -1., 'margin': None, 'n': 1}, 'verdict': 'fails', 'check': 'b'}
    report = {'version': 1, 'run': 'ticket', 'round': 2, 'kept': 32_298, 'seeds': [0, 1],
              'original': {'accuracy_percent': interval, 'accuracies_percent': [1., 2.]},
              'dense': entry | {'check': 'dense'},
              'checks': [entry | {'check': 'a', 'verdict': 'survives'}, fails]}
    checks = tmp_path / 'checks.json'
    checks.write_bytes(encode_checked(report))
    view = figure_set.open_runs([parse_run_path(str(ticket.folder))])[0]
    object.__setattr__(view.view, 'derived', [tmp_path])
    data = FIGURES.find('sanity-checks')(figure_set.FigureRequest([view]))
    assert isinstance(data, FigureData)
    assert [tick.label for tick in data.panels[0].y.ticks] == ['a', 'b', 'dense']
    assert series_of(data, 0, 'survives').points == (Point(2, 3, 1.5, 2.5, 2),)
    assert series_of(data, 0, 'fails').points == (Point(-1, 2, None, None, 1),)
    assert series_of(data, 0, 'dense network').points[0].y == 1


def test_stability_shows_the_pairs_of_the_present_tickets_only(ticket):
    for seed, errors, fingerprint in ((0, [0.1, 0.3, 0.2], None), (1, [0.2, 0.3, 0.2], None), (1, [0.9] * 3, 'other')):
        pair = CopyPair(seed, 2, 0, int(fingerprint is not None), 3)
        present = ticket.stored.load_ticket(seed, 2).fingerprints()[0]
        PAIRS.write(ticket.folder, pair, PairErrors(errors, 1., 2., 0.5), fingerprint or present)
    stability = figure('stability', ticket.folder)
    (line,), (barrier,) = (panel.series for panel in stability.panels)
    assert [(one.x, one.y, one.n) for one in line.points] == approximately([(0, 15, 2), (0.5, 30, 2), (1, 20, 2)])
    assert barrier.points[0].y == pytest.approx((15 + 10) / 2) and stability.panels[1].references[0].value == 2


def test_every_figure_is_drawn_and_equal_data_give_equal_bytes(ticket, gem, tmp_path):
    figures = figure_set.figure_set([parse_run_path(str(ticket.folder))]).contents
    figures += figure_set.figure_set([parse_run_path(str(gem.folder))], ['gems', 'scores']).contents
    starts = {'svg': b'<?xml', 'pdf': b'%PDF', 'png': b'\x89PNG'}
    for number, one in enumerate(figures):
        kind = list(starts)[number % 3]
        drawn = plot.plots([one], ('screen', 'paper')[number % 2])[0]
        drawn.save(tmp_path / f'a.{kind}')
        content = (tmp_path / f'a.{kind}').read_bytes()
        assert content.startswith(starts[kind])
        if number < 2:  # an SVG, a PDF
            drawn.save(tmp_path / f'b.{kind}')
            assert (tmp_path / f'b.{kind}').read_bytes() == content


def test_a_run_without_data_for_a_figure_is_told_why(ticket, gem):
    made = figure_set.figure_set([parse_run_path(str(gem.folder))])
    assert 'not trained' in made.left_out['accuracy'] and {one.name for one in made.contents} >= {'gems', 'scores'}
    with pytest.raises(LthError, match='There is no figure scores of .*ticket: no scores are on disk'):
        figure('scores', ticket.folder)


@pytest.mark.parametrize('name', ['$a_b$', '_hidden', 'tab\there', 'x' * 200, '名前'])
def test_names_of_any_characters_are_in_the_legend_as_plain_text(ticket, tmp_path, name):
    folder = tmp_path / name
    folder.symlink_to(ticket.folder)
    data = figure('accuracy', folder, ticket.folder.parent / 'ticket-controls' / 'reinit')
    labels = [one.label for one in data.panels[0].series]
    assert all(label.isprintable() and len(label) < 80 for label in labels)
    assert name != '$a_b$' or labels[0] == name
    plot.Plot(data).save(tmp_path / 'figure.svg')
    assert labels[0] in (tmp_path / 'figure.svg').read_text()


def test_colors_and_markers_differ_for_as_many_series_as_possible():
    assert len({(color(number), marker(number)) for number in range(36)}) == 36
    assert len(set(scale(12))) == 12 and len(scale(1)) == 1
    assert len({shade for number in range(6) for shade in shades(number, 8)}) == 48 and shades(2, 1) == [color(2)]


def test_curves_of_many_runs_differ_in_color_or_marker():
    runs = [SimpleNamespace(label=str(number), rows=[], control_rows={}) for number in range(36)]
    looks = {(series.color, series.marker) for series in (curve.series([]) for curve in run_curves(runs))}
    assert len(looks) == 36


def test_axis_labels_of_a_figure_with_a_high_legend_are_inside_of_it():
    points = tuple(Point(x, x) for x in (1, 2, 3))
    series = tuple(Series(label=f'{number}{"x" * 60}', points=points, color=color(number)) for number in range(16))
    panel = Panel(x=Axis(label='x'), y=Axis(label='test accuracy at the end of training (%)'), series=series)
    drawn = plot.Plot(FigureData(name='many', title='many', panels=(panel,), caption='caption')).matplotlib()
    drawn.draw_without_rendering()
    label = drawn.axes[0].yaxis.label.get_window_extent()
    assert label.y0 > 0 and label.y1 < drawn.bbox.height


def test_labels_of_densities_reach_to_the_fewest_weights_of_runs_with_equally_many_rounds():
    runs = [SimpleNamespace(rows=[SimpleNamespace(density=1), SimpleNamespace(density=least)])
            for least in (0.5, 0.2, 0.4)]
    assert [tick.label for tick in density_axis(runs).ticks] == ['100', '20.0']


@pytest.mark.parametrize('name', ['layers', 'learning-curves'])
def test_curves_of_different_runs_have_different_colors_and_labels(ticket, name):
    control = ticket.folder.parent / 'ticket-controls' / 'reinit'
    by_run = [{(one.color, one.label) for panel in figure(name, ticket.folder, control).panels
               if panel.title == run for one in panel.series} for run in ('ticket', 'reinit')]
    assert all(by_run) and not by_run[0] & by_run[1]
    for position in (0, 1):
        first, second = ({pair[position] for pair in pairs} for pairs in by_run)
        assert not first & second


def test_a_figure_that_shows_one_of_several_runs_names_it(ticket, monkeypatch):
    pair, errors = CopyPair(0, 0, 0, 0, 2), PairErrors([0.1, 0.2], 1.0, 2.0, 0.5)
    monkeypatch.setattr(MeasurementFiles, 'read_present',
                        lambda _self, run, _seeds: [(pair, errors)] if run.folder.name == 'ticket' else [])
    control = ticket.folder.parent / 'ticket-controls' / 'reinit'
    several, alone = figure('stability', control, ticket.folder), figure('stability', ticket.folder)
    labels = [{one.label for panel in data.panels for one in panel.series} for data in (several, alone)]
    assert labels[0] == {f'ticket, {label}' for label in labels[1]} and labels[1] == {'round 0, 100%', 'barrier'}


def test_mask_churn_is_that_of_the_recorded_events_and_a_search_has_none(sparse, ticket):
    found, events = figure('mask-churn', sparse.folder), {}
    for seed in SEEDS:
        for path in sorted(sparse.folder.glob(f'seed-{seed}/round-*/events.jsonl')):
            for line in path.read_text().splitlines():
                event = json.loads(line)
                events.setdefault(event['iteration'], []).append(event)
    assert list(events) == [6, 12, 18, 24, 30] and len(found.panels) == 2
    # SET drops and grows as many, so half of what changed was active before.
    churn = [point(step, [(one['dropped'] + one['grown']) / (2 * one['active'] - one['grown'] + one['dropped'])
                          for one in both], factor=100) for step, both in events.items()]
    ever = [point(step, [one['ever_active'] / 50200 for one in both], factor=100) for step, both in events.items()]
    assert [list(panel.series[0].points) for panel in found.panels] == [approximately(churn), approximately(ever)]
    assert [panel.y.bounds for panel in found.panels] == [(-2, 102)] * 2
    with pytest.raises(LthError, match='its mask does not move within the training'):
        figure('mask-churn', ticket.folder)


@pytest.mark.parametrize(('run', 'other'), [('sparse', 'learning-curves'), ('gem', 'gems')])
def test_without_a_figure_of_accuracies_the_one_that_has_them_is_named(request, run, other):
    with pytest.raises(LthError, match=f'not trained one by one, see the figure {other}'):
        figure('accuracy', request.getfixturevalue(run).folder)
