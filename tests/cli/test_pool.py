"""lth pool: runs of interpolated tickets."""
import json
from pathlib import Path

import pytest
import yaml

from lth.system import yaml_text

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-e', '1', '--seeds', '0-1', '--run', 'a')


def test_pooled_tickets_are_a_run_that_is_shown_evaluated_and_plotted(lth):
    lth(*SEARCH, '-i', '2')
    result = lth('pool', 'a', '--json')
    assert result.code == 0, result.err
    printed = json.loads(result.out)
    assert [row['round'] for row in printed['pools']] == [0, 1, 2] and printed['soups'] == []
    for row in printed['pools']:
        assert row['validation_after_percent']['mean'] >= row['validation_before_percent']['mean']
    source = json.loads(lth('show', 'run', 'a', '--json').out)
    for row, before in zip(printed['rounds'], source['rounds'], strict=True):
        assert row['kept'] == before['kept']
    for row, before in zip(printed['pools'], source['rounds'], strict=True):
        assert row['before_percent']['mean'] == pytest.approx(before['test_accuracy_percent']['mean'])
    assert json.loads(lth('show', 'run', 'a-pool', '--json').out)['pools'] == printed['pools']
    assert 'Pooled tickets before and after' in lth('show', 'run', 'a-pool').out
    assert 'the recorded test accuracy is' not in lth('evaluate', 'a-pool').err
    assert lth('plot', 'a-pool', '--figure', 'averages', '-o', 'a.svg').code == 0
    assert 'runs/a-pool' in lth('show', 'run', 'a').out
    assert lth('finetune', 'a-pool', '--round', '1', '-e', '1').code == 0


def test_some_rounds_of_one_seed_are_pooled_with_all_others(lth):
    lth(*SEARCH, '-i', '2')
    result = lth('pool', 'a/seed-1', '--rounds', '1', '--scope', 'global')
    assert result.code == 0 and 'ranked together' in result.err
    settings = yaml.safe_load(open('runs/a-pool-seed-1/recipe.yaml', encoding='utf-8'))['algorithm']
    assert settings['rounds'] == [1] and settings['levels'] == 3 and settings['scope'] == 'global'


def test_a_dry_run_of_a_pool_prints_its_rounds_and_how_they_are_pruned_and_writes_nothing(lth, tmp_path):
    lth(*SEARCH, '-i', '2')
    result = lth('pool', 'a', '--rounds', '1-2', '--dry-run')
    printed = ' '.join((result.out + result.err).split())
    assert result.code == 0 and 'Nothing is trained' in printed and 'levels: 3' in printed
    assert 'each layer of a pooled ticket keeps as many weights as in the ticket' in printed
    outline = json.loads(lth('pool', 'a', '--rounds', '1-2', '--dry-run', '--json').out)
    searched = json.loads(lth('show', 'run', 'a', '--json').out)['rounds']
    assert [row['kept'] for row in outline['rounds']] == [row['kept'] for row in searched[1:]]
    assert not list(tmp_path.glob('runs/*-pool*'))


def test_tickets_of_cyclic_training_are_pooled_and_finetuned_in_as_many_cycles(lth):
    lth(*SEARCH, '-i', '1', '--set', 'training.cycles=2')
    assert lth('pool', 'a').code == 0
    assert lth('finetune', 'a-pool', '--round', '1', '-e', '1', '--run', 'tuned').code == 0
    cycles = [yaml_text.read_yaml(Path('runs', name, 'recipe.yaml'))['training']['cycles']
              for name in ('a', 'a-pool', 'tuned')]
    assert cycles == [2, 2, 2]


def test_runs_that_cannot_be_pooled_are_refused_and_nothing_is_written(lth, tmp_path):
    lth(*SEARCH, '-i', '0')
    assert 'has one round' in lth('pool', 'a').err
    lth(*SEARCH[:-1], 'thin', '-i', '2', '--keep', 'last')
    assert 'removed the weights of round 1, from which runs/thin-pool starts' in lth('pool', 'thin').err
    lth(*SEARCH[:-1], 'nonzero', '-i', '1', '--mask-0-action', 'freeze')
    assert 'its pruned weights are not 0' in lth('pool', 'nonzero').err
    lth('finetune', 'nonzero', '-e', '1', '--run', 'tuned')
    assert 'cannot be pooled: pools interpolate' in lth('pool', 'tuned').err
    assert not list(tmp_path.glob('runs/*-pool*'))


def test_soups_are_in_the_table_the_json_and_the_figure_of_a_search(lth):
    result = lth(*SEARCH, '-i', '1', '--copies', '2')
    assert result.code == 0, result.err
    assert 'Soups of 2 copies' in result.out
    assert 'the next round starts from the rewind point' in ' '.join(result.out.split())
    rows = json.loads(lth('show', 'run', 'a', '--json').out)['soups']
    assert [row['round'] for row in rows] == [0, 1]
    for row in rows:
        difference = row['soup_percent']['mean'] - row['mean_of_copies_percent']['mean']
        assert row['over_mean_of_copies_points']['mean'] == pytest.approx(difference)
        assert row['copies'] == row['copies_in_soup'] == 2
    assert lth('plot', 'a', '--figure', 'averages', '-o', 'a.svg').code == 0


def test_controls_of_soups_are_soups_too_and_count_the_steps_of_all_copies(lth):
    greedy = '--copies', '2', '--set', 'algorithm.soup=greedy'
    assert lth(*SEARCH, '-i', '1', *greedy, '--controls', 'reinit').code == 0
    control = json.loads(lth('show', 'run', 'a-controls/reinit', '--json').out)
    (row,) = control['soups']
    assert (row['round'], row['copies']) == (1, 2)
    record = json.loads(Path('runs/a-controls/reinit/seed-0/round-01/round.json').read_text())
    recipe = yaml.safe_load(Path('runs/a-controls/reinit/recipe.yaml').read_text())
    assert (recipe['algorithm']['copies'], recipe['algorithm']['soup']) == (2, 'greedy')
    assert record['steps'] == 2 * record['last']['iteration']


def test_a_dry_run_shows_the_rounds_of_the_pool_and_writes_nothing(lth):
    lth(*SEARCH, '-i', '2')
    result = lth('pool', 'a', '--rounds', '1-2', '--dry-run')
    assert result.code == 0 and yaml.safe_load(result.out)['algorithm']['rounds'] == [1, 2]
    assert [row['kept'] for row in json.loads(lth('pool', 'a', '--dry-run', '--json').out)['rounds']] == [
        row['kept'] for row in json.loads(lth('show', 'run', 'a', '--json').out)['rounds']]
    assert not Path('runs/a-pool').exists()
