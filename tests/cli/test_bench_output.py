"""What `lth bench` prints for people."""
import json
from dataclasses import replace

import pytest

from lth import benchmark
from lth.benchmark.mask_selection import SelectionTime
from lth.benchmark.timing import StepTime
from lth.benchmark.whole_search import Study

BASELINE = StepTime('baseline', 1., 1, 1, 1, 3.7, 0.02, 1., 0.5, None, None, None, 310.4)
EXPERT = StepTime('expert', 1., 1, 1, 1, 1.85, 0.1, 2., 1., None, None, None, 401.)
EAGER = StepTime('eager', 1., 1, 1, 1, 1.25, 0.1, 2.96, 1.48, None, None, None, 401.)
SPARSE = StepTime('sparse', 0.055, 1, 1, 1, 0.12, 0.1, 30.8, 15.42, 10.4, None, None, 1402.)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().split('  ') if cell.strip()]


def table(text: str) -> list[list[str]]:
    """The cells of a table, headings first."""

    lines = text.splitlines()
    rule = next(number for number, line in enumerate(lines) if '───' in line)
    rows = [cells(lines[rule - 1])]
    for line in lines[rule + 1:]:
        if not line.strip():
            break
        rows.append(cells(line))
    return rows


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch):
    """Replaces the timing by given rows."""

    def give(*rows: StepTime) -> None:
        monkeypatch.setattr(benchmark.timing, 'time_contenders', lambda *_arguments, **_options: list(rows))
    return give


def test_bench_prints_a_row_per_engine_with_its_time_and_speed_up(lth, timed):
    timed(BASELINE, EXPERT, EAGER)
    result = lth('bench', 'lenet-300-100', 'digits', '--turns', '3')
    assert result.code == 0, result.err
    assert result.out.splitlines()[0] == 'lenet-300-100 on digits, batch size 60, 1 thread, median of 3 turns'
    assert table(result.out) == [
        ['engine', 'density', 'ms per step', '±', '× baseline', '× expert', 'MiB'],
        ['baseline', '100%', '3.700', '2%', '1.00', '0.50', '310'],
        ['expert', '100%', '1.850', '10%', '2.00', '1.00', '401'],
        ['eager', '100%', '1.250', '10%', '2.96', '1.48', '401']]
    assert '×: times as fast, for each network.' in result.out


def test_bench_of_networks_that_train_together_shows_how_many(lth, timed):
    timed(BASELINE, replace(EAGER, replicates=16))
    result = lth('bench', 'lenet-300-100', 'digits')
    assert [row[2] for row in table(result.out)] == ['R', '1', '16'] and 'R: networks that train' in result.out


def test_bench_of_densities_adds_the_speed_up_over_the_eager_engine(lth, timed):
    timed(BASELINE, SPARSE)
    rows = table(lth('bench', 'lenet-300-100', 'digits', '--densities', '0.055').out)
    assert rows[0][4:] == ['× baseline', '× expert', '× eager', 'MiB']
    assert rows[2] == ['sparse', '5.5%', '0.120', '10%', '30.80', '15.42', '10.40', '1,402']


def test_bench_of_a_study_prints_the_time_of_the_whole_search(lth, monkeypatch):
    study = Study([BASELINE, EXPERT, EAGER], 16, 12_345, 3600., 1800., 300.)
    monkeypatch.setattr(benchmark.whole_search, 'estimate_search', lambda *_arguments, **_options: study)
    monkeypatch.setattr(benchmark.whole_search, 'time_search', lambda *_arguments, **_options: 360.)
    estimated = ' '.join(lth('bench', 'lenet-300-100', 'digits', '--study').out.split())
    assert ('16 rounds, 12,345 steps. Baseline: 1:00:00, expert: 30:00, estimated from their steps. lth: 5:00, '
            'estimated without' in estimated)
    assert 'The whole search' not in estimated
    timed = ' '.join(lth('bench', 'lenet-300-100', 'digits', '--study', '--run').out.split())
    assert ('The whole search with measurements and files took 6:00, 10.0 times as fast as the baseline and 5.0 times '
            'as fast as the expert.' in timed)


def test_bench_of_masks_prints_seconds_and_memory(lth, monkeypatch):
    rows = [SelectionTime('distinct', 25_557_032, 0.4126, 310.2), SelectionTime('all equal', 25_557_032, 0.2, None)]
    monkeypatch.setattr(benchmark.mask_selection, 'time_selection', lambda *_arguments, **_options: rows)
    out = lth('bench', 'lenet-300-100', 'digits', '--masks', '--turns', '2').out
    assert out.startswith('Selecting 80% of the weights of lenet-300-100, median of 2 turns')
    assert table(out) == [['scores', 'weights', 'seconds', 'extra MiB'], ['distinct', '25,557,032', '0.413', '310'],
                          ['all equal', '25,557,032', '0.200', 'unknown']]


def test_bench_of_convolutions_prints_microseconds_of_three_methods(lth, monkeypatch):
    layer = benchmark.convolutions.Layer(16, 32, 8)
    row = benchmark.convolutions.ConvolutionTime(layer, 'stacked', 21e-6, 34.2e-6, 1e-3, (), 0.0031)
    monkeypatch.setattr(benchmark.convolutions, 'time_on_gpu', lambda *_arguments, **_options: [row])
    out = lth('bench', 'resnet20', 'cifar10', '--convolutions').out
    assert table(out) == [['layer', 'method', 'forward', 'inputs', 'weights', 'error'],
                          ['16 → 32, 8 × 8', 'stacked', '21', '34', '1000', '3e-03']]
    (printed,) = json.loads(lth('bench', 'resnet20', 'cifar10', '--convolutions', '--json').out)['rows']
    assert printed['units'] == 32 and printed['forward_us'] == pytest.approx(21)


def test_bench_of_convolutions_needs_a_gpu(lth):
    result = lth('bench', 'resnet20', 'cifar10', '--convolutions', '--device', 'cpu')
    assert result.code == 2 and 'run on a GPU only' in result.err


@pytest.mark.parametrize('densities', ['', ',', 'half', '0', '1.5', '1,,2', 'nan'])
def test_bench_refuses_what_is_not_a_list_of_densities(lth, densities):
    result = lth('bench', 'lenet-300-100', 'digits', '--densities', densities)
    assert result.code == 2 and 'is not a list of densities. Give shares above 0 and at most 1' in result.err


def test_bench_refuses_densities_that_would_take_hours(lth):
    result = lth('bench', 'lenet-300-100', 'digits', '--densities', ','.join(['0.5'] * 101))
    assert result.code == 2 and 'has 101 densities. Give at most 100' in ' '.join(result.err.split())
