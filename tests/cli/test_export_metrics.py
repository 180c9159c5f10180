"""lth export-metrics: one tidy table of measurements as CSV, JSON or Parquet, the same as run.metrics()."""
import csv
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

import lth as package
from lth.analysis import metric_export


@pytest.fixture(name='runs', scope='module')
def _runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `runs` with a search, its control, and a search of another recipe."""

    folder: Path = tmp_path_factory.mktemp('export') / 'runs'
    options = {'rounds': 1, 'epochs': 2}
    package.find_ticket('lenet-300-100', 'digits', seeds=(0, 1), run=folder / 'a', controls=['reinit'], **options)
    package.find_ticket('lenet-300-100', 'digits', run=folder / 'b', settings={'algorithm.scope': 'global',
                                                                               'algorithm.rates': 0.2}, **options)
    return folder


@pytest.fixture(name='exported')
def _exported(lth, runs):
    shutil.copytree(runs, 'runs')

    def export(*arguments: str) -> list[dict[str, str]]:
        result = lth('export-metrics', *arguments)
        assert result.code == 0, result.err
        with open(arguments[-1], newline='', encoding='utf-8') as file:
            return list(csv.DictReader(file))
    return export


def test_the_table_has_a_row_for_each_value_that_was_measured(exported):
    rows = exported('a', '-o', 'm.csv')
    lines = [json.loads(line) for line in Path('runs/a/seed-1/round-01/metrics.jsonl').read_text().splitlines()]
    found = {(row['iteration'], row['split'], row['metric']): row for row in rows
             if (row['run'], row['seed'], row['round']) == ('runs/a', '1', '1')}
    expected = {(str(line['iteration']), split, metric): line[f'{split}_{metric}'] for line in lines
                for split in ('train', 'validation', 'test') for metric in ('loss', 'accuracy')
                if line[f'{split}_{metric}'] is not None}
    assert {key: float(row['value']) for key, row in found.items()} == expected and len(lines) == 3
    assert {float(row['density']) for row in found.values()} == {lines[0]['density']}
    stops = {str(line['iteration']) for line in lines if line['early_stop']}
    assert {row['iteration'] for row in found.values() if row['early_stop'] == 'True'} == stops


def test_rows_have_all_settings_of_the_recipe(exported):
    (row, *_) = exported('a', '-o', 'm.csv')
    assert (row['model.name'], row['training.batch_size'], row['algorithm.rates.output']) == (
        'lenet-300-100', '60', '0.1')
    assert json.loads(row['training.optimizer.betas']) == [0.9, 0.999] and row['data.crop'] == '0'


def test_rows_have_the_multiply_adds_up_to_their_iteration(exported):
    rows = exported('a/seed-0', '-o', 'm.csv')
    dense, kept, half = 50_200, 40_260, 21
    costs = {(int(row['round']), int(row['iteration'])): int(row['training_multiply_adds']) for row in rows}
    assert costs == {(0, 0): 0, (0, half): 3 * dense * 60 * half, (0, 2 * half): 3 * dense * 60 * 2 * half,
                     (1, 0): 3 * dense * 60 * 2 * half, (1, half): 3 * (2 * dense + kept) * 60 * half,
                     (1, 2 * half): 3 * (2 * dense + 2 * kept) * 60 * half}
    assert {(row['multiply_adds'], row['dense_multiply_adds']) for row in rows if row['round'] == '1'} == {
        (str(kept), str(dense))}


def test_runs_seeds_rounds_and_controls_are_exported_once(exported):
    both = exported('a', 'b', '-o', 'm.csv')
    assert {(row['run'], row['seed']) for row in both} == {('runs/a', '0'), ('runs/a', '1'), ('runs/b', '0')}
    assert {row['algorithm.rates'] for row in both} == {'', '0.2'}
    again = exported('b/seed-0/round-01', 'a/seed-1', 'b', 'runs/a', 'a', '-o', 'm.csv')
    key = ('run', 'seed', 'round', 'iteration', 'split', 'metric', 'value')
    assert sorted([row[name] for name in key] for row in again) == sorted([row[name] for name in key] for row in both)
    part = exported('a/seed-1/round-01', '-o', 'm.csv')
    assert {(row['seed'], row['round']) for row in part} == {('1', '1')}
    controls = exported('a', '--with-controls', '-o', 'm.csv')
    assert {(row['run'], row['algorithm.control']) for row in controls} == {
        ('runs/a', ''), ('runs/a-controls/reinit', 'reinit')}


def test_csv_json_parquet_and_the_python_api_have_the_same_rows(exported):
    pandas = pytest.importorskip('pandas')
    pytest.importorskip('pyarrow')
    rows = exported('a', '-o', 'm.csv')
    names = list(rows[0])
    for name in ('m.json', 'm.parquet'):
        metric_export.export_metrics([metric_export.RunPath(Path('runs/a'))], Path(name))
    objects = json.loads(Path('m.json').read_text())
    assert [list(one) for one in objects] == [names] * len(rows)
    assert [['' if value is None else str(value) for value in one.values()] for one in objects] == [
        list(row.values()) for row in rows]
    parquet = pandas.read_parquet('m.parquet')
    from_api = package.open_run('runs/a').metrics().to_pandas()
    for frame in (parquet, from_api):
        assert sorted(frame.columns) == sorted(names)
        assert frame.value.tolist() == [one['value'] for one in objects]
        assert frame['training_multiply_adds'].tolist() == [one['training_multiply_adds'] for one in objects]
    assert parquet['training.batch_size'].dtype == 'int64' and parquet['data.flip'].dtype == bool


def test_settings_that_are_numbers_in_one_run_only_are_text_in_parquet(exported):
    pytest.importorskip('pyarrow')
    pandas = pytest.importorskip('pandas')
    text = Path('runs/b/recipe.yaml').read_text()
    Path('runs/b/recipe.yaml').write_text(text.replace('resolution: null', 'resolution: 8'))
    with pytest.raises(package.LthError, match='recipe'):
        metric_export.export_metrics([metric_export.RunPath(Path('runs/b'))], Path('b.parquet'))
    Path('runs/b/recipe.yaml').write_text(text)
    paths = [metric_export.RunPath(Path('runs/a')), metric_export.RunPath(Path('runs/b'))]
    metric_export.export_metrics(paths, Path('m.parquet'))
    frame = pandas.read_parquet('m.parquet')
    assert set(frame['algorithm.rates'].dropna()) == {0.2} and frame['algorithm.rates'].isna().sum() > 0
    del exported


@pytest.mark.parametrize('output, code, words', [
    ('m.xlsx', 2, r"the type of 'm.xlsx' is unknown. End the name with one of .csv, .parquet, .json"),
    ('m', 2, 'is unknown'), ('nowhere/m.csv', 3, "Cannot write 'nowhere/m.csv': No such file or directory"),
    ('folder.csv', 2, "'folder.csv' is a folder")])
def test_a_file_that_cannot_be_written_is_an_error(exported, lth, output, code, words):
    Path('folder.csv').mkdir()
    before = sorted(os.listdir())
    result = lth('export-metrics', 'a', '-o', output)
    assert result.code == code and words in result.err and sorted(os.listdir()) == before
    del exported


def test_a_damaged_run_leaves_an_existing_file_as_it_is(exported, lth):
    exported('b', '-o', 'm.csv')
    before = Path('m.csv').read_bytes()
    metrics = Path('runs/a/seed-1/round-01/metrics.jsonl')
    metrics.write_text(metrics.read_text().replace('"early_stop": true', '"early_stop": false'))
    result = lth('export-metrics', 'b', 'a', '-o', 'm.csv')
    assert result.code == 2 and str(metrics) in result.err and Path('m.csv').read_bytes() == before
    assert not list(Path().glob('*.partial'))


def test_parquet_names_the_package_that_is_missing(exported, lth, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    result = lth('export-metrics', 'a', '-o', 'm.parquet')
    assert result.code == 2 and "pip install 'lth[pandas]'" in result.err and not Path('m.parquet').exists()
    del exported


def test_runs_of_version_0_1_0_are_exported_without_multiply_adds(lth):
    fixture = Path(__file__).parent.parent / 'fixtures/version-0.1.0/runs'
    name = next(path.parent.name for path in sorted(fixture.glob('*/recipe.yaml')))
    result = lth('export-metrics', str(fixture / name), '-o', 'm.json')
    assert result.code == 0, result.err
    rows = json.loads(Path('m.json').read_text())
    assert rows and all(row['multiply_adds'] is None and 0 <= row['density'] <= 1 for row in rows)
