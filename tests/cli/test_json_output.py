"""--json: every command prints what the data classes of its output declare."""
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml
from pydantic import ConfigDict, TypeAdapter

from lth import benchmark
from lth.analysis.json_output import (
    alignments, answers, averages, checks, comparisons, curvature, early_bird, early_bird_tickets, evaluations, exports,
    figures, listings, other_data, repairs, reproductions, round_barriers, run_lists, runs, sharing, sign_flips,
    stability, sweeps, values)
from lth.benchmark import json_output as bench
from lth.benchmark.mask_selection import SelectionTime
from lth.cli import app
from tests.cli.test_bench_output import BASELINE, EAGER, EXPERT, SPARSE
from tests.foreign.foreign_files import save_pruned
from tests.recipes.test_rare_gems import SAMPLE

PAIR = ('lenet-300-100', 'digits')
SEARCH = ('find-ticket', *PAIR, '-i', '1', '-e', '1', '--run', 'a')
GEM = ('find-gem', *PAIR, '--sparsity', '50', '-e', '2', '--set', 'algorithm.freeze_every=1 epochs', '--run', 'gem')
MODULES = (
    alignments, answers, averages, bench, checks, comparisons, curvature, early_bird, early_bird_tickets, evaluations,
    exports, figures, listings, other_data, repairs, reproductions, round_barriers, run_lists, runs, sharing,
    sign_flips, stability, sweeps, values)


def classes_of(module: ModuleType) -> Iterator[type]:
    yield from (entry for entry in vars(module).values() if dataclasses.is_dataclass(entry))


@pytest.fixture(name='valid', autouse=True)
def _forbid_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets pydantic refuse keys that a class does not declare, and values of other types."""

    for module in MODULES:
        for declared in classes_of(module):
            config = ConfigDict(extra='forbid', strict=True, ser_json_inf_nan='constants')
            monkeypatch.setattr(declared, '__pydantic_config__', config, raising=False)


def output(lth, declared: type, *arguments: str) -> dict[str, Any]:
    """What a command prints, after it was compared with the class of its output."""

    result = lth(*arguments, '--json')
    assert result.code == 0, result.err
    printed = json.loads(result.out)
    assert list(printed)[0] == 'version' and printed.pop('version') == values.VERSION
    TypeAdapter(declared).validate_json(json.dumps(printed))
    assert list(printed) == [field.name for field in dataclasses.fields(declared)]
    return printed


def test_tables_of_runs_have_one_shape_with_and_without_controls_and_finetuning(lth):
    plain = output(lth, runs.RunReport, *SEARCH)
    assert (plain['controls'], plain['finetuned']) == ({}, None)
    controlled = output(lth, runs.RunReport, *SEARCH, '--controls', 'reinit')
    assert controlled.keys() == plain.keys() and list(controlled['controls']) == ['reinit']
    gem = output(lth, runs.RunReport, *GEM)
    trained = output(lth, runs.RunReport, *GEM, '--finetune')
    assert gem.keys() == trained.keys() == plain.keys() and gem['rounds'] == trained['rounds']
    assert trained['finetuned']['run'] == 'runs/gem-finetuned-round-01'
    finetuned = output(lth, runs.RunReport, 'finetune', 'a', '-e', '1')
    assert [(row['round'], row['stored_round']) for row in finetuned['rounds']] == [(1, 0)]


def test_a_sparse_training_has_its_moves_and_its_answer(lth):
    command = ('train-sparse', *PAIR, '--density', '0.1', '-e', '2', '--update-every', '6', '--run', 'a',
               '--seeds', '0-1', '--set', 'algorithm.save_every=1 epoch')
    report = output(lth, runs.RunReport, *command)
    (answer,), rows = report['answers'], report['rounds']
    assert [[seed['mask_moves']['events'] for seed in row['seeds']] for row in rows] == [[3, 3], [2, 2]]
    moves = [row['seeds'][0]['mask_moves'] for row in rows]
    assert all(one['dropped'] == one['grown'] > 0 and 0 < one['churn_percent'] < 100 for one in moves)
    assert 10 < moves[0]['ever_active_percent'] < moves[1]['ever_active_percent'] < 100
    found = answer['sparse_training']
    assert (found['method'], found['round'], found['density_percent']) == ('rigl', 1, 10)
    assert found['events']['mean'] == 5 and found['accuracy_percent'] == rows[1]['test_accuracy_percent']
    by_seed = [(3 * first['mask_moves']['churn_percent'] + 2 * second['mask_moves']['churn_percent']) / 5
               for first, second in zip(rows[0]['seeds'], rows[1]['seeds'], strict=True)]
    assert found['churn_percent']['mean'] == pytest.approx(sum(by_seed) / 2)
    assert all(answer[name] is None for name in ('tickets', 'gem', 'finetuning'))
    assert any(sentence.startswith('The mask moved 5 times. An event changed ') for sentence in answer['sentences'])
    assert output(lth, runs.RunReport, 'show', 'run', 'a')['answers'] == report['answers']
    still = output(lth, runs.RunReport, *command[:5], '--method', 'static', '-e', '1', '--run', 'b')
    assert 'The mask did not move.' in still['answers'][0]['sentences']
    assert still['answers'][0]['sparse_training']['churn_percent'] is None


def test_percentages_are_those_of_the_table(lth):
    found = output(lth, runs.RunReport, *SEARCH)
    last = found['rounds'][-1]
    line = next(line for line in lth(*SEARCH).out.splitlines() if line.split()[:1] == ['1'])
    accuracy, stop = last['test_accuracy_percent']['mean'], last['early_stop_accuracy_percent']['mean']
    assert all(f'{value:.2f}' in line.split() for value in (last['density_percent'], accuracy, stop))
    assert 1 < accuracy <= 100 and accuracy == last['seeds'][0]['test_accuracy_percent']


def test_evaluate_and_transfer_show_the_rounds_of_the_source(lth):
    lth(*SEARCH)
    moved = output(lth, runs.RunReport, 'transfer', 'a', '--to', 'digits', '--rounds', '1', '-e', '1')
    assert [(row['round'], row['stored_round']) for row in moved['rounds']] == [(1, 0)]
    again = output(lth, evaluations.EvaluationReport, 'evaluate', 'a-to-digits-round-01')
    assert [(row['round'], row['stored_round']) for row in again['evaluations']] == [(1, 0)]
    assert again['evaluations'][0]['test_accuracy_percent'] == moved['rounds'][0]['test_accuracy_percent']['mean']
    outline = output(lth, runs.Outline, 'transfer', 'a', '--to', 'digits', '--rounds', '1', '--dry-run')
    assert [row['round'] for row in outline['rounds']] == [1]


def test_other_images_and_imported_runs(lth, tmp_path):
    save_pruned(tmp_path / 'pruned')
    imported = output(lth, runs.RunReport, 'import', 'torch-prune', 'pruned', '--model', 'lenet-300-100', '--dataset',
                      'digits', '--run', 'a')
    measured = output(lth, other_data.OtherDataReport, 'evaluate', 'a', '--on', 'digits')
    assert [row['accuracy_percent'] for row in measured['rounds']] == [
        row['test_accuracy_percent'] for row in imported['rounds']]


def test_a_gem_is_evaluated_with_its_scores(lth):
    lth(*GEM)
    found = output(lth, evaluations.EvaluationReport, 'evaluate', 'gem')
    assert all(0 <= one['scores']['minimum'] <= one['scores']['maximum'] <= 1 for one in found['evaluations'])


def test_sanity_checks_and_their_steps(lth):
    lth(*SEARCH)
    command = ('sanity-check', 'a', '--checks', 'reinit')
    assert output(lth, checks.CheckSteps, *command, '--dry-run')['steps'][0]['step'] == 'original'
    report = output(lth, checks.SanityReport, *command)
    assert [(one['check'], one['verdict']) for one in report['checks']] == [('reinit', 'undecided')]
    assert 'verdict' not in report['dense'] and report['dense']['check'] == 'dense'


def test_stability_has_both_tables_and_all_pairs(lth):
    lth(*SEARCH, '--seeds', '0-1')
    report = output(lth, stability.StabilityReport, 'stability', 'a', '--points', '3')
    assert [row['round'] for row in report['rows']] == [0, 1] and len(report['pairs']) == 4
    barriers = [pair['barrier_points'] for pair in report['pairs'] if pair['round'] == 1]
    assert report['rows'][1]['barrier_points']['mean'] == pytest.approx(sum(barriers) / 2)
    assert {row['between'] for row in report['overlap_rows']} == {'seeds', 'rounds'}


def test_aligned_masks_have_barriers_and_comparisons(lth):
    lth(*SEARCH, '--seeds', '0-1')
    report = output(lth, alignments.AlignmentReport, 'align', 'a')
    assert [(one['mask_seed'], one['seed']) for one in report['barriers']] == [(0, 1)]
    assert [(one['round'], one['control'], one['verdict']) for one in report['comparisons']] == [
        (1, 'naive', 'undecided'), (1, 'own', 'undecided')]


def test_early_tickets_have_comparisons(lth):
    lth('find-ticket', *PAIR, '-i', '1', '-e', '6', '--early-bird', '--run', 'a')
    report = output(lth, early_bird_tickets.EarlyBirdTicketReport, 'train-early-birds', 'a', '--threshold', '0.4')
    assert report['threshold'] == 0.4 and report['comparisons'][0]['iterations'] == 126


def test_stability_between_rounds_has_a_row_for_each_pair_of_rounds(lth):
    lth(*SEARCH)
    report = output(lth, round_barriers.BarrierReport, 'stability', 'a', '--between-rounds', '--points', '3')
    assert [row['round'] for row in report['rows']] == [1] and len(report['pairs']) == 1
    assert report['rows'][0]['barrier_points']['margin'] is None and report['rows'][0]['agrees'] == 'undecided'


def test_curvature_has_a_row_for_each_round(lth):
    lth(*SEARCH)
    report = output(lth, curvature.CurvatureReport, 'stability', 'a', '--curvature', '--images', '5')
    assert [row['round'] for row in report['rows']] == [0, 1] and len(report['measurements']) == 2
    assert report['rows'][0]['distance']['mean'] == report['measurements'][0]['distance'] > 0


def test_signs_have_a_share_for_each_round_layer_and_tenth(lth):
    lth(*SEARCH)
    report = output(lth, sign_flips.SignReport, 'show', 'run', 'a', '--signs')
    assert [one['round'] for one in report['rounds']] == [0, 1] and report['seeds'] == [0]
    assert [layer['name'] for layer in report['rounds'][0]['layers']] == [
        'dense1.weight', 'dense2.weight', 'output.weight']
    assert len(report['rounds'][1]['deciles_percent']) == 10


def test_reports(lth):
    lth(*SEARCH)
    printed = output(lth, listings.WrittenReport, 'report', 'a')
    assert (printed['file'], printed['runs'], printed['notes']) == ('runs/a/report.html', ['runs/a'], [])
    assert 'accuracy' in printed['figures'] and Path(printed['file']).is_file()


def test_cards_and_pushes(lth):
    lth(*SEARCH)
    printed = output(lth, sharing.WrittenCard, 'card', 'a', '--license', 'mit')
    assert (printed['run'], printed['file'], printed['figure']) == (
        'runs/a', 'runs/a/README.md', 'runs/a/README-accuracy.png')
    assert [note for note in printed['notes'] if 'sanity' in note] == printed['notes']
    printed = output(lth, sharing.PushedRun, 'push', 'a', 'alice/a', '--dry-run')
    assert (printed['repository'], printed['url'], printed['commit'], printed['runs']) == ('alice/a', None, None, ['a'])
    assert printed['bytes'] > 0 and {'lth.json', 'README.md', 'a/recipe.yaml'} <= set(printed['files'])


def test_plot_prints_the_points_of_its_figures_in_percent(lth):
    lth(*SEARCH)
    (accuracy,) = output(lth, figures.FigureFiles, 'plot', 'a', '--figure', 'accuracy')['figures']
    ((first, last),) = [series['points'] for series in accuracy['panels'][0]['series']]
    table = output(lth, runs.RunReport, 'show', 'run', 'a')['rounds']
    assert (first['x'], last['y']) == (100, pytest.approx(table[1]['test_accuracy_percent']['mean']))
    assert accuracy['file'] == 'runs/a/figures/accuracy.png' and Path(accuracy['file']).is_file()


def test_repair(lth):
    lth(*SEARCH)
    assert output(lth, repairs.RepairReport, 'repair', 'a')['damaged'] == []
    shutil.rmtree('runs/a/seed-0/round-00')
    (damage,) = output(lth, repairs.RepairReport, 'repair', 'a')['damaged']
    assert damage['path'] == 'runs/a/seed-0/round-01'


def test_exported_networks_of_all_formats_have_one_shape(lth):
    assert lth(*SEARCH).code == 0
    for name in ('torch', 'compacted', 'csr'):
        printed = output(lth, exports.ExportReport, 'export', 'a/seed-0/round-01', '--format', name, '--images', '9')
        assert (printed['format'], printed['run'], printed['check']['images']) == (name, 'runs/a', 9)
        assert [latency['batch'] for latency in printed['latencies']] == [1, 64]
    assert lth('export', 'a/seed-0/round-01', '--format', 'csr').code == 2  # it exists


def test_exported_and_compared_runs(lth):
    lth(*SEARCH)
    lth('find-ticket', *PAIR, '-i', '1', '-e', '2', '--run', 'b')
    report = output(lth, comparisons.RunComparison, 'compare', 'a', 'b')
    assert [one['label'] for one in report['runs']] == ['a', 'b'] and len(report['levels']) == 2
    assert {'name': 'training.length', 'values': ['1 epoch', '2 epochs']} in report['settings']
    assert output(lth, listings.ExportedMetrics, 'export-metrics', 'a', '-o', 'm.csv') == {
        'file': 'm.csv', 'rows': len(Path('m.csv').read_text().splitlines()) - 1, 'runs': ['runs/a']}


@pytest.mark.parametrize('kind', ['models', 'datasets', 'criteria', 'checks'])
def test_lists(lth, kind):
    assert output(lth, listings.Listing, 'list', kind)['kind'] == kind


def test_recipes_and_conversions(lth):
    assert output(lth, listings.RecipeListing, 'list', 'recipes')['entries']
    assert output(lth, listings.ShownRecipe, 'show', 'recipe', 'default')['recipe']['training']
    Path('gem.yml').write_text(yaml.safe_dump(SAMPLE))
    assert output(lth, listings.ConvertedRecipe, 'convert-config', 'gem.yml')['recipe']['algorithm']


def test_bench(lth, monkeypatch):
    rows = [BASELINE, EXPERT, EAGER, SPARSE]
    monkeypatch.setattr(benchmark.timing, 'time_contenders', lambda *_arguments, **_options: rows)
    times = output(lth, bench.StepTimes, 'bench', *PAIR)
    assert [row['density_percent'] for row in times['rows']] == [100, 100, 100, pytest.approx(5.5)]
    study = benchmark.whole_search.Study(rows, 16, 12_345, 3600., 1800., 300.)
    monkeypatch.setattr(benchmark.whole_search, 'estimate_search', lambda *_arguments, **_options: study)
    assert output(lth, bench.StudyTimes, 'bench', *PAIR, '--study')['real_seconds'] is None
    selection = [SelectionTime('distinct', 25_557_032, 0.4126, 310.2), SelectionTime('all equal', 9, 0.2, None)]
    monkeypatch.setattr(benchmark.mask_selection, 'time_selection', lambda *_arguments, **_options: selection)
    assert output(lth, bench.SelectionTimes, 'bench', *PAIR, '--masks')['rows'][0]['extra_mib'] == 310.2


def test_a_sweep_and_its_plan_print_what_their_classes_declare(lth, monkeypatch):
    Path('grid.yaml').write_text('command: find-ticket lenet-300-100 digits -i 1 -e 1\nfolder: s\n', encoding='utf-8')
    assert output(lth, sweeps.PlannedSweep, 'sweep', 'run', 'grid.yaml', '--dry-run')['missing'] == 1
    assert output(lth, sweeps.SweepReport, 'sweep', 'run', 'grid.yaml')['complete'] == 1
    assert output(lth, sweeps.SweepReport, 'sweep', 'status', 's')['cells'][0]['rounds'] == [2]
    time_sweep = benchmark.sweep_overhead.time_sweep
    monkeypatch.setattr(benchmark.sweep_overhead, 'time_sweep', lambda *given: time_sweep(*given, runs=2))
    assert output(lth, bench.SweepTime, 'bench', *PAIR, '--sweep')['runs'] == 2


def test_every_class_and_field_is_documented():
    text = (Path(__file__).parent.parent.parent / 'docs/json.md').read_text()
    names = {field.name for module in MODULES for declared in classes_of(module)
             for field in dataclasses.fields(declared)}
    assert {name for name in names if f'`{name}`' not in text} == set()


def test_every_command_with_json_is_documented():
    text = (Path(__file__).parent.parent.parent / 'docs/json.md').read_text()
    commands = typer.main.get_command(app).commands
    with_json = {name for name, command in commands.items() if 'as_json' in {one.name for one in command.params}}
    assert len(with_json) >= 12 and {name for name in with_json if f'`{name}' not in text} == set()
