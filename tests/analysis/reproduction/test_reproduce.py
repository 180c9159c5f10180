"""`lth reproduce`: every experiment can be planned; small ones run, resume, and report."""
import json

import pytest
import yaml

from lth.analysis import papers
from lth.analysis.reproduction.reproduce import plan_experiment
from lth.errors import LthError
from lth.experiments.grid import GridRun, Reduction, expand, reduced

PLANS = [(name, budget) for name in papers.experiment_names() for budget in papers.find_experiment(name).budgets]
TINY = '''
title: A search and what it says
paper: {title: Nobody 2000, section: figure 1}
runs:
  search:
    command: find-ticket
    model: lenet-300-100
    dataset: digits
    settings: {training.length: 1 epoch, algorithm.rounds: 1}
    controls: {reinit: 2}
  finetuned: {command: finetune, source: search, round: 1}
  checks: {command: sanity-check, source: search, checks: [shuffle-mask]}
  stability: {command: stability, source: search, rounds: [0]}
  gem: {command: find-gem, model: lenet-300-100, dataset: digits, algorithm: snip,
        grid: {algorithm.density: [0.1, 0.2]}, finetune: {training.length: 3 iterations}}
figures:
  - {name: accuracy, runs: [search]}
tables:
  - {title: 'Methods at {}', values: ['0.1', '0.2'], rows: {imp: search, snip: 'gem-{}-finetuned'}}
claims:
  - {claim: better than nothing, section: '1', measure: accuracy, of: {run: search}, expect: above, value: 1}
  - {claim: untrained at chance, section: '1', measure: accuracy-before-training, of: {run: search, level: 80},
     expect: below, value: 500}
  - claim: as good as a draw
    section: '2'
    measure: accuracy
    of: {run: checks, check: original}
    than: {run: search, control: reinit}
    expect: above
    value: -99
    published: 7
  - {claim: finetuned, section: '3', measure: accuracy, of: {run: finetuned}, expect: above, value: 99}
  - {claim: stable, section: '4', measure: barrier, of: {run: stability, level: dense}, expect: below, value: 90}
budgets:
  smoke: {seeds: 1}
  full: {seeds: 2}
'''


def test_the_required_figures_and_tables_are_there():
    required = {*(f'lth-figure-{number}' for number in (1, 3, 4, 5, 6, 7, 8, 9)), 'stabilizing-resnet20',
                'stabilizing-vgg19', 'zhou-criteria', 'zhou-signs', 'zhou-supermasks', 'morcos-transfer',
                'renda-retraining', 'lmc-barriers', 'rare-gems-ablation', 'rare-gems-sanity-checks', 'su-sanity-checks',
                'aws-signs'}
    assert required <= set(papers.experiment_names())
    assert all({'smoke', 'full'} <= papers.find_experiment(name).budgets.keys() for name in papers.experiment_names())


@pytest.mark.parametrize(('name', 'budget'), [plan for plan in PLANS if plan[1] != 'full'])
def test_every_experiment_can_be_planned(name, budget):
    plan = plan_experiment(name, budget)
    assert plan.runs and plan.scale


@pytest.mark.slow
@pytest.mark.parametrize('name', papers.experiment_names())
def test_every_experiment_can_be_planned_as_in_the_paper(name):
    plan = plan_experiment(name, 'full')
    assert not plan.scale


@pytest.mark.slow
def test_an_experiment_runs_reports_and_resumes(lth, tmp_path):
    (tmp_path / 'tiny.yaml').write_text(TINY)
    first = lth('reproduce', 'tiny.yaml', '--budget', 'full', '--json')
    assert first.code == 0, first.err
    assert 'at most about' in first.err
    report = json.loads(first.out)
    assert [(claim['claim'], claim['agreement']) for claim in report['claims']] == [
        ('better than nothing', 'agrees'), ('untrained at chance', 'agrees'), ('as good as a draw', 'agrees'),
        ('finetuned', 'does not agree'), ('stable', 'agrees')]
    assert report['claims'][2]['published'] == 7 and report['claims'][2]['unit'] == 'points'
    assert [table['title'] for table in report['tables']] == ['Methods at 0.1', 'Methods at 0.2']
    imp, snip = report['tables'][1]['rows']
    assert (imp['steps'], snip['steps'], snip['kept']) == (42, 3, 10_040) and snip['accuracy_percent']['n'] == 2
    assert snip['multiply_adds'] < imp['multiply_adds'] and not report['tables'][1]['missing']
    assert (tmp_path / 'runs/tiny-full/search-controls/reinit-2/recipe.yaml').exists()
    assert json.loads((tmp_path / 'runs/tiny-full/tiny.json').read_text()) == report
    assert report['figures'] and all((tmp_path / figure).stat().st_size > 1000 for figure in report['figures'])
    sessions = [json.loads(path.read_text()) for path in tmp_path.rglob('sessions/*.json')]
    assert report['training_seconds'] == pytest.approx(sum(session['seconds'] for session in sessions), abs=0.001)
    before = {path: path.read_bytes() for path in tmp_path.rglob('round.json')}
    again = lth('reproduce', 'tiny.yaml', '--budget', 'full', '--strict')
    assert 'Methods at 0.1' in again.out and 'multiply-adds' in again.out
    assert again.code == 1 and 'does not agree' in again.out and 'no published value at hand' in again.out
    assert {path: path.read_bytes() for path in tmp_path.rglob('round.json')} == before


def test_a_run_that_fails_is_left_out_and_the_others_are_reported(lth, tmp_path):
    raw = yaml.safe_load(TINY)
    gem = {'command': 'find-gem', 'model': 'lenet-300-100', 'dataset': 'digits', 'algorithm': 'global-edge-popup',
           'density': 0.0001, 'settings': {'training.length': '1 epoch'}}
    raw['runs'] = {'gem': gem, 'trained': {'command': 'finetune', 'source': 'gem'}, 'search': raw['runs']['search']}
    raw['claims'] = [raw['claims'][0], raw['claims'][0] | {'of': {'run': 'trained'}}]
    raw['tables'] = [{'title': 'Both', 'rows': {'dense': 'search', 'gem': 'trained'}}]
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump(raw))
    result = lth('reproduce', 'mine.yaml', '--budget', 'smoke', '--json')
    assert result.code == 0 and 'Note: gem failed' in result.err and 'trained is left out' in result.err
    first, second = json.loads(result.out)['claims']
    (table,) = json.loads(result.out)['tables']
    assert [row['name'] for row in table['rows']] == ['dense'] and table['missing'] == ['gem']
    assert first['ours']['n'] == 1 and second['ours'] is None and second['reason'] == 'the run trained failed'


def test_a_dry_run_names_the_runs_and_what_is_smaller_and_writes_nothing(lth, tmp_path):
    result = lth('reproduce', 'lth-figure-4', '--budget', 'smoke', '--dry-run')
    assert result.code == 0 and '1 × shuffle-mask' in result.out
    assert 'dataset digits, not mnist' in result.out.replace('\n', ' ') and not list(tmp_path.iterdir())


@pytest.mark.parametrize(('arguments', 'message'), [
    (('lth-figure-44',), 'lth-figure-4'), (('nothing-like-it',), 'lth list papers'),
    (('lth-figure-5',), 'no budget small'), (('missing.yaml',), 'missing.yaml'),
    (('lth-figure-4', '--seeds', 'x'), '--seeds'), (('lth-figure-4', '--budget', 'huge'), '--budget')])
def test_mistakes_are_named(lth, tmp_path, arguments, message):
    result = lth('reproduce', *arguments)
    assert result.code == 2 and message in result.err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(('name', 'message'), [
    ('recipe.yaml', 'is the folder of a run'), ('sweep.json', 'is the folder of a sweep'), ('', 'is not a folder')])
def test_the_folder_of_another_run_or_sweep_is_refused_and_stays(lth, tmp_path, name, message):
    taken = tmp_path / 'runs/taken' / name
    taken.parent.mkdir(parents=True)
    taken.write_text('mine')
    result = lth('reproduce', 'lth-figure-4', '--budget', 'smoke', '--run', 'taken')
    assert result.code == 2 and message in ' '.join(result.err.split()), result.err
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == [taken] and taken.read_text() == 'mine'


@pytest.mark.parametrize(('change', 'message'), [
    ({'runs': {'x': {'command': 'find-ticket'}}}, 'needs a model'), ({'claims': [{}]}, 'claims'),
    ({'figures': [{'name': 'accuracy', 'runs': ['y']}]}, "no run ['y']"),
    ({'figures': [{'name': 'acuracy', 'runs': ['search']}]}, "did you mean 'accuracy'"),
    ({'runs': {'finetuned': {'command': 'finetune'}}}, 'source'), ({'budgets': {}}, 'full')])
def test_files_that_are_no_experiments_are_refused(lth, tmp_path, change, message):
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump(yaml.safe_load(TINY) | change))
    result = lth('reproduce', 'mine.yaml', '--budget', 'smoke')
    assert result.code == 2 and message in result.err and not (tmp_path / 'runs').exists()


def test_runs_that_start_from_each_other_are_refused(tmp_path):
    raw = yaml.safe_load(TINY)
    raw['runs']['checks']['source'], raw['runs']['stability']['source'] = 'stability', 'checks'
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump(raw))
    with pytest.raises(LthError, match='start from each other'):
        plan_experiment(str(tmp_path / 'mine.yaml'), 'smoke')


def test_a_grid_is_one_run_for_each_combination_and_a_reduction_drops_recipes_of_other_pairs():
    run = GridRun(command='find-ticket', model='a', dataset='b', recipe='a-b', grid={'x': [1, 2], 'y': ['u', 'v']},
                  controls={'reinit': 3})
    expanded = expand({'run': run})
    assert list(expanded) == ['run-1-u', 'run-1-v', 'run-2-u', 'run-2-v']
    assert expanded['run-2-u'].settings == {'x': 2, 'y': 'u'}
    small = reduced('run-2-u', expanded['run-2-u'], Reduction(
        datasets={'b': 'c'}, settings={'find-ticket': {'x': 5}}, runs={'run-2-u': {'z': 1}}, draws=1))
    assert (small.dataset, small.recipe, small.controls) == ('c', None, {'reinit': 1})
    assert small.settings == {'x': 5, 'y': 'u', 'z': 1}
    assert reduced('run-2-u', expanded['run-2-u'], Reduction()) == expanded['run-2-u']


@pytest.mark.slow
@pytest.mark.parametrize('name', papers.experiment_names())
def test_the_smallest_budget_runs(lth, name):
    result = lth('reproduce', name, '--budget', 'smoke', '--json')
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert report['claims'] and all(claim['agreement'] == 'cannot tell' for claim in report['claims'])
    assert any(claim['ours'] for claim in report['claims'])
