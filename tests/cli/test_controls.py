"""Controls on the command line: beside the tickets, in rows of their table, resumed as any run."""
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '2')
CONTROLLED = (*SEARCH, '--controls', 'reinit,Random_Layer,random-global')
BESIDE = Path('runs/lenet-300-100-digits-controls')


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob('*')
            if path.is_file() and path.name != 'environment.json'}


def test_controls_are_rows_below_each_level_and_objects_for_programs(lth):
    # Seed by seed: seeds side by side are processes that take seconds to start.
    lth(*CONTROLLED, '--seeds', '3')
    lth(*CONTROLLED)
    result = lth(*CONTROLLED, '--seeds', '0,3')
    assert result.code == 0, result.err
    rows = [line.split() for line in result.out.splitlines() if line[1:2].isdigit()]
    assert [row[:2] if row[1][0].isalpha() else row[:1] for row in rows] == [
        ['0'], ['1'], ['1', 'reinit'], ['1', 'random-layer'], ['1', 'random-global'],
        ['2'], ['2', 'reinit'], ['2', 'random-layer'], ['2', 'random-global']]
    found = json.loads(lth(*CONTROLLED, '--seeds', '0,3', '--json').out)
    assert list(found['controls']) == ['reinit', 'random-layer', 'random-global']
    for control in found['controls'].values():
        assert [row['round'] for row in control] == [1, 2]
        for mine, theirs in zip(control, found['rounds'][1:], strict=True):
            assert mine['kept'] == theirs['kept'] and mine['test_accuracy']['n'] == 2
            assert mine['test_accuracy']['mean'] != theirs['test_accuracy']['mean']


def test_controls_are_runs_that_can_be_measured_and_change_nothing_in_the_search(lth):
    lth(*SEARCH)
    before = contents(Path('runs/lenet-300-100-digits'))
    assert lth(*CONTROLLED).code == 0
    assert contents(Path('runs/lenet-300-100-digits')) == before
    measured = json.loads(lth('evaluate', 'lenet-300-100-digits-controls/random-layer', '--json').out)['evaluations']
    assert len(measured) == 3 and all(one['test_accuracy'] == one['recorded'] for one in measured)
    for name in ('mask', 'ticket', 'trained'):
        ours, theirs = (load_file(folder / f'seed-0/round-00/{name}.safetensors') for folder in (
            BESIDE / 'reinit', Path('runs/lenet-300-100-digits')))
        assert ours.keys() == theirs.keys() and all((ours[key] == theirs[key]).all() for key in theirs)


def test_controls_that_were_stopped_are_resumed_byte_for_byte(lth):
    lth(*CONTROLLED)
    whole = contents(BESIDE)
    shutil.rmtree(BESIDE / 'reinit/seed-0/round-02')
    shutil.rmtree(BESIDE / 'random-layer/seed-0/round-01')
    shutil.rmtree(BESIDE / 'random-layer/seed-0/round-02')
    shutil.rmtree(BESIDE / 'random-global')
    assert lth(*CONTROLLED).code == 0 and contents(BESIDE) == whole


def test_a_search_without_controls_shows_none(lth):
    lth(*CONTROLLED)
    assert 'reinit' not in lth(*SEARCH).out and 'controls' not in json.loads(lth(*SEARCH, '--json').out)


def test_a_dry_run_tells_which_controls_would_follow(lth, tmp_path):
    result = lth(*CONTROLLED, '--dry-run')
    assert 'Then as many pruned rounds of each control: reinit, random-layer, random-global.' in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('options', 'says'), [
    (('--controls', 'reinits'), "Unknown control 'reinits', did you mean 'reinit'?"),
    (('--controls', ''), "Unknown control ''"),
    (('--controls', 'reinit', '-i', '0'), 'round 0 is the only one')])
def test_a_mistake_about_controls_is_told_before_anything_is_trained(lth, tmp_path, options, says):
    result = lth(*SEARCH, *options)
    assert result.code == 2 and says in ' '.join(result.err.split())
    assert not list(tmp_path.iterdir())


def test_controls_of_a_search_that_lost_its_rounds_say_what_is_needed(lth):
    lth(*CONTROLLED)
    shutil.rmtree(BESIDE / 'reinit/seed-0')
    recipe = BESIDE / 'reinit/recipe.yaml'
    away = Path('elsewhere')
    away.mkdir()
    shutil.copytree('runs/lenet-300-100-digits', away / 'search')
    shutil.rmtree(away / 'search/seed-0/round-02')
    text = recipe.read_text().replace('source: ../../lenet-300-100-digits\n', 'source: ../../elsewhere/search\n')
    Path('mine.yaml').write_text(text)
    result = lth('find-ticket', 'lenet-300-100', 'digits', '--recipe', 'mine.yaml', '--run', 'other')
    assert result.code == 2
    said = ' '.join(result.err.split())
    assert 'elsewhere/search has no round 2 of all seeds [0], and this run starts from it' in said
