"""--log: each measurement reaches TensorBoard and trackio as it is made, with settings and results of each round."""
import importlib.util
import json
import sqlite3
from pathlib import Path

import pytest

import lth as package
from lth.experiments import metric_logs
from lth.experiments.metric_logs import LoggedReporter, OpenLogs
from lth.experiments.reporter import SeedProgress
from tests.experiments.test_session_log import Kept

PAIR = ('lenet-300-100', 'digits')


def expected(run: package.RunResults, seed: int, number: int) -> dict[str, list[tuple[int, float]]]:
    """The points of each curve of a round."""

    curves: dict[str, list[tuple[int, float]]] = {}
    for row in run.metrics():
        if (row.seed, row.round) == (seed, number):
            curves.setdefault(f'{row.metric}/{row.split}', []).append((row.iteration, pytest.approx(row.value)))
    return curves


def test_tensorboard_has_a_curve_for_each_metric_and_the_results_of_each_round(tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    run = package.find_ticket(*PAIR, rounds=1, epochs=1, seeds=(0, 3), run=tmp_path / 'run', log='tensorboard')
    for seed, number in ((0, 0), (3, 1)):
        events = EventAccumulator(str(tmp_path / f'run/tensorboard/seed-{seed}/round-{number:02d}')).Reload()
        curves = {name: [(event.step, event.value) for event in events.Scalars(name)]
                  for name in events.Tags()['scalars']}
        result = curves.pop('result/test_accuracy')
        assert result[0][1] == pytest.approx(run.stored.record(seed, number).test_accuracy)
        del curves['result/early_stop_iteration'], curves['result/early_stop_accuracy']
        assert curves == expected(run, seed, number)
        summaries = events.summary_metadata['_hparams_/session_start_info']
        assert b'training.batch_size' in summaries.plugin_data.content and b'density' in summaries.plugin_data.content


def test_trackio_has_a_run_with_all_values_for_each_round(tmp_path, monkeypatch):
    pytest.importorskip('trackio')
    from trackio import sqlite_storage, utils
    for module in (utils, sqlite_storage):
        monkeypatch.setattr(module, 'TRACKIO_DIR', tmp_path / 'trackio')
    run = package.find_ticket(*PAIR, rounds=1, epochs=1, seeds=(0, 3), run=tmp_path / 'run', log='trackio')
    with sqlite3.connect(next((tmp_path / 'trackio').glob('*.db'))) as database:
        rows = database.execute('select run_name, step, metrics from metrics order by id').fetchall()
        settings = json.loads(database.execute("select config from configs where run_name = 'seed-3/round-01'")
                              .fetchone()[0])
    assert {name for name, _, _ in rows} == {f'seed-{seed}/round-0{number}' for seed in (0, 3) for number in (0, 1)}
    curves: dict[str, list[tuple[int, float]]] = {}
    *measured, (_, _, last) = [row for row in rows if row[0] == 'seed-3/round-01']
    for _, step, text in measured:
        for name, value in json.loads(text).items():
            curves.setdefault(name, []).append((step, value))
    assert curves == expected(run, 3, 1)
    assert json.loads(last)['result/test_accuracy'] == run.stored.record(3, 1).test_accuracy
    assert (settings['training.batch_size'], settings['seed'], settings['round']) == (60, 3, 1)


@pytest.mark.slow
def test_stability_and_sanity_checks_are_logged_next_to_their_results(tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    run = package.find_ticket(*PAIR, rounds=1, epochs=1, seeds=(0, 1), run=tmp_path / 'run')
    measured = package.stability(run, rounds=[1], points=3, log='tensorboard').pairs
    package.sanity_check(run, checks=['reinit'], log='tensorboard')
    for pair, errors in measured:
        folder = tmp_path / f'run-stability/tensorboard/seed-{pair.seed}/round-01-from-0-pair-0-points-3'
        events = EventAccumulator(str(folder)).Reload()
        assert [(event.step, event.value) for event in events.Scalars('error/test')] == [
            (step, pytest.approx(error)) for step, error in enumerate(errors.errors)]
        assert events.Scalars('result/barrier')[0].value == pytest.approx(errors.barrier)
    assert len(measured) == 2
    assert list((tmp_path / 'run-checks-round-01/reinit/tensorboard/seed-1/round-00').iterdir())


@pytest.mark.parametrize('folder, name', [
    ('runs/mine', 'mine'), ('runs/mine-checks-round-01/reinit', 'mine-checks-round-01-reinit'),
    ('elsewhere/mine', 'mine'), ('elsewhere/mine-controls/reinit', 'mine-controls-reinit')])
def test_the_project_of_trackio_names_the_run(tmp_path, monkeypatch, folder, name):
    log = pytest.importorskip('lth.experiments.metric_logs.trackio')
    monkeypatch.chdir(tmp_path)
    assert log._project(tmp_path / folder) == name  # pylint: disable=protected-access


class Broken:
    """A log on a full disk."""

    calls = 0

    def measured(self, *_arguments: object) -> None:
        self.calls += 1
        raise OSError(28, 'No space left on device')

    def close(self) -> None:
        raise AssertionError('a log that was left out is not closed')


def test_a_log_that_cannot_be_written_is_left_out_with_a_note(tmp_path):
    run = package.find_ticket(*PAIR, rounds=0, epochs=1, run=tmp_path / 'run')
    kept, broken = Kept(), Broken()
    logs = OpenLogs([broken], kept.message)
    reporter = LoggedReporter(run.stored, kept, logs)
    measurement = run.stored.load_round(0, 0).trained.history[-1]
    report = SeedProgress((0,), 0, 21, (0.5,), (0.5,), measurement=measurement)
    for _ in range(3):
        reporter.progress(report)
    logs.close()
    assert broken.calls == 1 and kept.reports[1:] == [report] * 3 and 'No space left' in str(kept.reports[0])


@pytest.mark.slow
def test_results_do_not_depend_on_the_log(tmp_path):
    pytest.importorskip('tensorboard')
    for name, log in (('plain', None), ('logged', 'tensorboard')):
        package.find_ticket(*PAIR, rounds=0, epochs=1, run=tmp_path / name, log=log)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name / 'seed-0/round-00').iterdir()}
             for name in ('plain', 'logged')]
    assert files[0] == files[1]


@pytest.mark.slow
def test_a_search_that_ended_before_it_saved_anything_is_repeated_in_its_folder(tmp_path):
    pytest.importorskip('tensorboard')
    diverging = {'training.optimizer.learning_rate': 1e30}
    with pytest.raises(package.LthError, match='diverged'):
        package.find_ticket(*PAIR, rounds=0, epochs=1, run=tmp_path / 'run', settings=diverging, log='tensorboard')
    assert package.find_ticket(*PAIR, rounds=0, epochs=1, run=tmp_path / 'run', log='tensorboard').seeds == (0,)


@pytest.mark.parametrize('name, words', [('tensorbord', "'tensorbord' is not a log, did you mean 'tensorboard'?"),
                                         ('[/bold]', "'[/bold]' is not a log (known: tensorboard, trackio)")])
def test_an_unknown_log_is_an_error_before_anything_is_written(lth, name, words):
    for more in ((), ('--dry-run',)):
        result = lth('find-ticket', *PAIR, '--log', name, *more)
        assert result.code == 2 and words in result.err and not Path('runs').exists()


def test_a_log_whose_package_is_missing_names_it(lth, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(package.LthError, match=r"--log trackio .*pip install 'lth\[trackio\]'"):
        metric_logs.require_logs(['trackio'])
    del lth
