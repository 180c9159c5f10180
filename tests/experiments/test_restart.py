"""--restart: which folders are moved aside together, and what is left alone."""
from pathlib import Path

import pytest

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.restart import set_aside
from lth.runs import run_locks
from lth.system import yaml_text


def store(folder: str, source: str | None = None, *, seeds: int = 1) -> None:
    """A run folder, as far as --restart reads it."""

    for seed in range(seeds):
        Path(folder, f'seed-{seed}/round-00').mkdir(parents=True)
    algorithm = {'name': 'magnitude'} if source is None else {'name': 'finetune', 'source': source}
    content = {'model': {}, 'data': {}, 'training': {}, 'algorithm': algorithm}
    Path(folder, 'recipe.yaml').write_text(yaml_text.dump_yaml(content))


@pytest.fixture(autouse=True)
def current_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def restart(folder: str = 'runs/a') -> tuple[set[str], set[str]]:
    """The folders in ./runs that stay, and those that are moved."""

    messages: list[str] = []
    set_aside(Path(folder), messages.append)
    (destination,) = Path(folder).parent.glob('*-set-aside-*')
    moved = {str(path.parent.relative_to(destination)) for path in destination.rglob('seed-0')}
    assert messages[0].startswith(f'Moved to {destination}: ') and not list(destination.rglob('*lock'))
    return {path.name for path in Path('runs').iterdir() if path != destination}, moved


def test_a_run_is_moved_with_all_runs_that_start_from_it_directly_or_not(tmp_path):
    for folder, source in {
            'a': None, 'a-controls/reinit': '../../a', 'a-finetuned-round-01': '../a', 'my-name': '../a',
            'my-name-to-digits-round-00': '../my-name', 'a-checks-round-01/original': '../../a',
            'a-checks-round-01/half-data-search': None, 'a-to-digits-round-01': '../a',
            'a-to-digits-round-01-controls/random': '../../a', 'group/of-a': '../../a'}.items():
        store(f'runs/{folder}', source)
    (tmp_path / 'runs/a-stability').mkdir()
    for folder, source in {
            'ab': None, 'a-b': None, 'b-finetuned': '../a-b', 'group/other': None, 'group/of-b': '../../a-b'}.items():
        store(f'runs/{folder}', source)
    (tmp_path / 'runs/a-notes').mkdir()
    (tmp_path / 'runs/a-notes/recipe.yaml').write_text('training: {}')
    stay, moved = restart()
    assert stay == {'ab', 'a-b', 'b-finetuned', 'group', 'a-notes'}
    assert moved == {
        'a', 'a-controls/reinit', 'a-finetuned-round-01', 'my-name', 'my-name-to-digits-round-00',
        'a-checks-round-01/original', 'a-checks-round-01/half-data-search', 'a-to-digits-round-01',
        'a-to-digits-round-01-controls/random', 'group/of-a'}
    assert {path.name for path in Path('runs/group').iterdir()} == {'other', 'of-b'}
    assert list(Path('runs').glob('a-set-aside-*/a-stability'))


def test_a_derived_run_is_moved_without_its_source_and_checks_as_a_whole():
    for folder, source in {'a': None, 'b': '../a', 'b-controls/random': '../../a', 'checks/original': '../../a',
                           'checks/half-data-search': None}.items():
        store(f'runs/{folder}', source)
    assert restart('runs/b') == ({'a', 'checks'}, {'b', 'b-controls/random'})
    set_aside(Path('runs/checks'), print)
    assert not Path('runs/checks').exists() and Path('runs/a').exists()


def test_measurements_of_stability_are_moved_alone():
    store('runs/a')
    Path('runs/a-stability').mkdir()
    set_aside(Path('runs/a-stability'), print)
    assert Path('runs/a').exists() and not Path('runs/a-stability').exists()


def test_a_run_with_a_damaged_recipe_is_moved_too():
    store('runs/a')
    Path('runs/a/recipe.yaml').write_text('][')
    assert restart() == (set(), {'a'})


def test_derived_runs_of_a_run_that_was_deleted_are_moved():
    store('runs/a-controls/reinit', '../../a')
    assert restart() == (set(), {'a-controls/reinit'})


@pytest.mark.parametrize('content', ['thesis.tex', 'recipe.yaml'])
def test_a_folder_that_is_no_run_is_left_alone(content):
    set_aside(Path('runs/a'), print)
    Path('runs/a').mkdir(parents=True)
    Path('runs/a', content).write_text('training: {}')
    set_aside(Path('runs/a'), print)
    assert Path('runs/a', content).exists()


def test_nothing_is_moved_while_one_of_the_runs_is_being_trained():
    store('runs/a')
    store('runs/a-controls/reinit', '../../a', seeds=2)
    with run_locks.hold_seeds(Path('runs/a-controls/reinit'), [1]):
        with pytest.raises(LthError, match='reinit cannot be moved aside: seed 1 is being trained by process') as held:
            set_aside(Path('runs/a'), print)
        assert held.value.exit_code == ENVIRONMENT_ERROR
    assert {path.name for path in Path('runs').iterdir()} == {'a', 'a-controls'}
    restart()


def test_the_current_folder_is_not_moved(monkeypatch):
    store('runs/a')
    monkeypatch.chdir('runs/a/seed-0')
    with pytest.raises(LthError, match='which is the current folder'):
        set_aside(Path('..'), print)


def test_a_run_whose_recipe_is_no_yaml_is_moved_although_it_has_no_round(tmp_path):
    store('runs/b')
    Path('runs/a').mkdir()
    Path('runs/a/recipe.yaml').write_text('a: [1\n')
    set_aside(Path('runs/a'), lambda _message: None)
    moved, = Path('runs').glob('a-set-aside-*')
    assert (moved / 'a/recipe.yaml').read_text() == 'a: [1\n'
    assert {path.name for path in Path('runs').iterdir()} == {moved.name, 'b'}
