"""What `lth bench` prints for people."""
import pytest

from lth import benchmark
from lth.benchmark.mask_selection import SelectionTime
from lth.benchmark.timing import StepTime
from lth.benchmark.whole_search import Study

BASELINE = StepTime('baseline', 1., 1, 1, 1, 3.7, 0.02, 1., None, None, 310.4)
EAGER = StepTime('eager', 1., 1, 1, 1, 1.25, 0.1, 2.96, None, None, 401.)
SPARSE = StepTime('sparse', 0.055, 1, 1, 1, 0.12, 0.1, 30.8, 10.4, None, 1402.)


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

    def replace(*rows: StepTime) -> None:
        monkeypatch.setattr(benchmark.timing, 'time_contenders', lambda *_arguments, **_options: list(rows))
    return replace


def test_bench_prints_a_row_per_engine_with_its_time_and_speed_up(lth, timed):
    timed(BASELINE, EAGER)
    result = lth('bench', 'lenet-300-100', 'digits', '--turns', '3')
    assert result.code == 0, result.err
    assert result.out.splitlines()[0] == 'lenet-300-100 on digits, batch size 60, 1 thread, median of 3 turns'
    assert table(result.out) == [
        ['engine', 'density', 'R', 'ms per step', 'spread', 'speed-up', 'peak MiB'],
        ['baseline', '100%', '1', '3.700', '± 2%', '1.00×', '310'],
        ['eager', '100%', '1', '1.250', '± 10%', '2.96×', '401']]
    assert 'speed-up: times as fast as the baseline' in result.out


def test_bench_of_densities_adds_the_speed_up_over_the_eager_engine(lth, timed):
    timed(BASELINE, SPARSE)
    rows = table(lth('bench', 'lenet-300-100', 'digits', '--densities', '0.055').out)
    assert rows[0][5:] == ['speed-up', 'over eager', 'peak MiB']
    assert rows[2] == ['sparse', '5.5%', '1', '0.120', '± 10%', '30.80×', '10.40×', '1,402']


def test_bench_of_a_study_prints_the_time_of_the_whole_search(lth, monkeypatch):
    study = Study([BASELINE, EAGER], 16, 12_345, 3600., 300.)
    monkeypatch.setattr(benchmark.whole_search, 'estimate_search', lambda *_arguments, **_options: study)
    monkeypatch.setattr(benchmark.whole_search, 'time_search', lambda *_arguments, **_options: 360.)
    estimated = ' '.join(lth('bench', 'lenet-300-100', 'digits', '--study').out.split())
    assert '16 rounds, 12,345 steps. Baseline: 1:00:00, estimated from its step. lth: 5:00, estimated' in estimated
    assert 'The whole search' not in estimated
    timed = ' '.join(lth('bench', 'lenet-300-100', 'digits', '--study', '--run').out.split())
    assert 'The whole search with measurements and files took 6:00, 10.0 times as fast as the baseline.' in timed


def test_bench_of_masks_prints_seconds_and_memory(lth, monkeypatch):
    rows = [SelectionTime('distinct', 25_557_032, 0.4126, 310.2), SelectionTime('all equal', 25_557_032, 0.2, None)]
    monkeypatch.setattr(benchmark.mask_selection, 'time_selection', lambda *_arguments, **_options: rows)
    out = lth('bench', 'lenet-300-100', 'digits', '--masks', '--turns', '2').out
    assert out.startswith('Selecting 80% of the weights of lenet-300-100, median of 2 turns')
    assert table(out) == [['scores', 'weights', 'seconds', 'extra MiB'], ['distinct', '25,557,032', '0.413', '310'],
                          ['all equal', '25,557,032', '0.200', 'unknown']]


@pytest.mark.parametrize('densities', ['', 'half', '0', '1.5', '1,,2'])
def test_bench_refuses_what_is_not_a_list_of_densities(lth, densities):
    result = lth('bench', 'lenet-300-100', 'digits', '--densities', densities or ',')
    assert result.code == 2 and 'is not a list of densities. Give shares above 0 and at most 1' in result.err
