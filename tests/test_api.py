"""The Python API: runs from names and from objects, their results, and what stays unchanged in the process."""
import copy
import functools
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import lth
import lth as package
from lth.datasets import DATASETS
from lth.experiments.reporter import SilentReporter
from lth.recipes.schema import DataSettings

SHORT: dict[str, Any] = {'rounds': 1, 'epochs': 1, 'threads': 1}


def make_net(_shape: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, classes))


@functools.cache
def digits() -> tuple[torch.Tensor, ...]:
    """Four tensors: a part of the digits."""

    data = DATASETS.find('digits').read(Path(), DataSettings(name='digits'))
    assert isinstance(data.train.images, torch.Tensor) and isinstance(data.test.images, torch.Tensor)
    return data.train.images[:600], data.train.labels[:600], data.test.images[:200], data.test.labels[:200]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope='module')
def small_run(tmp_path_factory) -> lth.RunResults:
    """A run of two seeds and three rounds, of a function and tensors."""

    return lth.find_ticket(
        make_net, digits(), rounds=2, epochs=2, seeds=range(2), run=tmp_path_factory.mktemp('api') / 'run', threads=1)


def test_every_public_name_is_imported_on_first_use_and_has_a_docstring():
    for name in lth.__all__:
        assert getattr(lth, name).__doc__
    assert set(lth.__all__) <= set(dir(lth))
    with pytest.raises(AttributeError, match="no attribute 'find_tickets'"):
        getattr(lth, 'find_tickets')


def test_importing_lth_imports_no_library():
    code = "import lth, sys; dir(lth); print([name for name in ('torch', 'numpy', 'pydantic') if name in sys.modules])"
    process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                             env=os.environ | {'PYTHONPATH': str(Path(package.__file__).parents[1])})
    assert process.stdout == '[]\n'


def test_the_same_call_makes_the_same_run_as_the_command(lth, tmp_path):
    package.find_ticket('lenet-300-100', 'digits', run='mine', **SHORT)
    assert lth('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--run', 'theirs').code == 0
    mine, theirs = (sorted((tmp_path / 'runs' / name).rglob('round-*/*')) for name in ('mine', 'theirs'))
    assert mine and [path.read_bytes() for path in mine] == [path.read_bytes() for path in theirs]


def test_nothing_is_printed_unless_progress_is_requested(capfd):
    lth.find_ticket(make_net, digits(), run='a', **SHORT)
    assert capfd.readouterr() == ('', '')
    lth.find_ticket(make_net, digits(), run='b', progress=True, **SHORT)
    assert 'seed 0  round 1  test ' in capfd.readouterr().out


def test_the_rounds_of_a_derived_run_have_the_numbers_of_its_table(capfd):
    run = lth.find_ticket(make_net, digits(), run='a', **SHORT)
    lth.finetune(run, round=1, epochs=1, progress=True)
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith('seed 0')]
    assert len(lines) == 1 and lines[0].startswith('seed 0  round 1  test ')


def test_a_reporter_receives_messages_and_saved_rounds():
    class Recorder(SilentReporter):
        def __init__(self) -> None:
            super().__init__()
            self.rounds: list[int] = []

        def round_saved(self, progress):
            self.rounds.append(progress.number)

    recorder = Recorder()
    lth.find_ticket(make_net, digits(), run='a', reporter=recorder, **SHORT)
    assert recorder.rounds == [0, 1]


def test_the_table_has_a_row_for_each_seed_and_round(small_run):
    table = small_run.table()
    assert [(row.seed, row.round) for row in table] == [(seed, number) for seed in range(2) for number in range(3)]
    assert table[0].density == 1 and table[0].kept > table[1].kept > table[2].kept
    assert all(0 <= row.test_accuracy <= 1 for row in table[1:3])
    assert repr(table).startswith('Table of 6 rows: seed, round, kept, density')
    frame = table.to_pandas()
    assert list(frame.columns)[:3] == ['seed', 'round', 'kept'] and len(frame) == 6


def test_the_metrics_have_a_row_for_each_value_that_was_measured(small_run):
    metrics = small_run.metrics()
    lines = (small_run.folder / 'seed-1/round-02/metrics.jsonl').read_text().splitlines()
    rows = [row for row in metrics if (row.seed, row.round, row.split, row.metric) == (1, 2, 'test', 'loss')]
    assert [row.value for row in rows] == [json.loads(line)['test_loss'] for line in lines]
    assert rows[0].settings['training.batch_size'] == 128 and sum(row.early_stop for row in rows) == 1
    frame = metrics.to_pandas()
    assert len(frame) == len(metrics) and set(frame['training.batch_size']) == {128} and 'settings' not in frame


def test_pandas_is_named_if_it_is_missing(small_run, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pandas', None)
    with pytest.raises(lth.LthError, match=r"pip install 'lth\[pandas\]'"):
        small_run.table().to_pandas()


def test_a_ticket_is_the_one_that_load_ticket_reads_and_builds_the_module_of_the_factory(small_run):
    ticket, loaded = small_run.ticket(seed=1, round=2), lth.load_ticket(small_run.folder / 'seed-1/round-02')
    assert all(torch.equal(ticket.masks[name], mask) for name, mask in loaded.masks.items())
    module = ticket.module()
    assert torch.equal(module.get_parameter('1.weight'), ticket.weights['1.weight'])


def test_a_run_resumes_and_gets_more_seeds_and_rounds(tmp_path):
    first = lth.find_ticket(make_net, digits(), run='a', **SHORT)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / 'runs/a').rglob('*.safetensors')}
    assert lth.find_ticket(make_net, digits(), run='a', **SHORT).table() == first.table()
    both = lth.find_ticket(make_net, digits(), run='a', seeds=[1, 0], **SHORT)
    assert both.seeds == (0, 1) and len(both.table()) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_controls_are_runs_of_their_own(tmp_path):
    run = lth.find_ticket(make_net, digits(), controls=['reinit'], control_draws=2, run='a', **SHORT)
    assert list(run.controls) == ['reinit', 'reinit-2']
    assert run.controls['reinit'].table()[1].kept == run.table()[1].kept
    assert (tmp_path / 'runs/a-controls/reinit-2').is_dir()


def test_seeds_of_a_module_share_its_weights_and_the_module_is_unchanged(capsys):
    module = make_net((1, 8, 8), 10)
    before = copy.deepcopy(module.state_dict())
    run = lth.find_ticket(module, digits(), seeds=range(2), run='a', progress=True, **SHORT)
    assert 'differ only in the order of the data' in capsys.readouterr().out
    for seed in range(2):
        assert torch.equal(run.ticket(seed=seed, round=0).weights['1.weight'], before['1.weight'])
    assert not torch.equal(*(run.ticket(seed=seed, round=0).as_trained().weights['1.weight'] for seed in range(2)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_other_weights_of_a_module_need_an_initializer():
    module = make_net((1, 8, 8), 10)
    with pytest.raises(lth.LthError, match='reinit .* all seeds start from the weights of the given module'):
        lth.find_ticket(module, digits(), controls=['reinit'], run='a', **SHORT)
    run = lth.find_ticket(
        module, digits(), controls=['reinit'], settings={'model.initializer': 'kaiming-normal'}, run='a', **SHORT)
    assert not torch.equal(run.ticket(0, 0).weights['1.weight'], module.get_parameter('1.weight'))
    fixed = lth.find_ticket(module, digits(), run='b', **SHORT)
    with pytest.raises(lth.LthError, match='Random tickets have re-initialized weights'):
        lth.transfer(fixed, 'digits', random_tickets=True)


def test_torch_data_sets_give_the_run_of_their_tensors():
    train_images, train_labels, test_images, test_labels = digits()
    pair = TensorDataset(train_images / 255, train_labels), TensorDataset(test_images / 255, test_labels)
    assert lth.find_ticket(make_net, pair, run='a', **SHORT).table() == lth.find_ticket(
        make_net, [array.numpy() for array in digits()], run='b', **SHORT).table()


def test_lambdas_and_functions_without_source_train_in_this_process():
    names: dict[str, Any] = {'make': make_net}
    exec('def net(shape, classes):\n    return make(shape, classes)', names)
    for number, factory in enumerate((names['net'], lambda shape, classes: make_net(shape, classes))):
        assert len(lth.find_ticket(factory, digits(), seeds=range(2), run=f'run-{number}', **SHORT).table()) == 4


def test_objects_cannot_be_spread_over_processes():
    with pytest.raises(lth.LthError, match='parallel: object:make_net-.* other processes cannot import'):
        lth.find_ticket(make_net, digits(), seeds=range(2), parallel=True)
    run = lth.find_ticket('lenet-300-100', digits(), seeds=[0], run='a', **SHORT)
    with pytest.raises(lth.LthError, match='parallel: object:data-'):
        lth.finetune(run, parallel=True)


@pytest.mark.slow
def test_named_models_and_data_can_be_spread_over_processes():
    here = lth.find_ticket('lenet-300-100', 'digits', seeds=range(2), run='a', **SHORT)
    spread = lth.find_ticket('lenet-300-100', 'digits', seeds=range(2), run='b', parallel=True, **SHORT)
    assert here.table() == spread.table()


def test_a_run_of_objects_is_reopened_with_the_same_objects_only(small_run):
    again = lth.open_run(small_run.folder, model=make_net, data=digits())
    assert again.table() == small_run.table()
    other_labels = (*digits()[:3], digits()[3].flip(0))
    for objects, message in (
            ({'model': lambda shape, classes: make_net(shape, classes)}, 'made with another model: object:make_net-'),
            ({'data': other_labels}, 'made with other data: object:data-'),
            ({'model': 'lenet-300-100'}, 'made with another model')):
        with pytest.raises(lth.LthError, match=message):
            lth.open_run(small_run.folder, **objects)
    with pytest.raises(lth.LthError, match='made with other data'):
        lth.find_ticket(make_net, other_labels, rounds=2, epochs=2, run=small_run.folder)


def test_a_factory_that_builds_another_structure_is_refused():
    width = 12

    def factory(_shape: tuple[int, int, int], classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))

    run = lth.find_ticket(factory, digits(), run='a', **SHORT)
    width = 13
    with pytest.raises(lth.LthError, match='another network'):
        lth.open_run(run.folder, model=factory, data=digits())


def test_commands_ask_for_the_objects_of_a_run(small_run):
    process = subprocess.run(
        [sys.executable, '-m', 'lth', 'evaluate', str(small_run.folder)], capture_output=True, text=True, check=False,
        env=os.environ | {'PYTHONPATH': str(Path(lth.__file__).parents[1])})
    assert process.returncode == 2
    assert 'lth.open_run(RUN, model=..., data=...)' in process.stderr and 'Traceback' not in process.stderr


def test_evaluate_measures_the_recorded_accuracies(small_run):
    measured = lth.evaluate(small_run, threads=1)
    assert [(one.seed, one.round) for one in measured] == [(row.seed, row.round) for row in small_run.table()]
    assert [one.test_accuracy for one in measured] == [row.test_accuracy for row in small_run.table()]
    assert [one.round for one in lth.evaluate(small_run, round=1)] == [1, 1]


def test_gems_are_found_and_finetuned():
    gem = lth.find_gem(make_net, digits(), density=0.3, algorithm='snip', run='gem', threads=1)
    assert gem.table()[-1].density < 1
    trained = lth.finetune(gem, epochs=1, threads=1)
    assert trained.folder == Path('runs/gem-finetuned-round-00') and trained.table()[0].kept == gem.table()[-1].kept


def test_tickets_are_finetuned_and_transferred_to_other_data(small_run, tmp_path):
    other = tuple(array.flip(0) for array in digits())
    trained = lth.finetune(
        small_run, round=1, seeds=1, data=other, optimizer='sgd', epochs=1, new_run=tmp_path / 'trained')
    assert trained.seeds == (1,) and trained.table()[0].kept == small_run.table()[1].kept
    transferred = lth.transfer(
        small_run, other, rounds=[0, 2], random_tickets=True, epochs=1, new_run=tmp_path / 'transferred')
    assert [row.kept for row in transferred.table()][:2] == [small_run.table()[row].kept for row in (0, 2)]
    assert list(transferred.controls) == ['random']


def test_sanity_checks_report_a_verdict_for_each_check(small_run, tmp_path):
    report = lth.sanity_check(small_run, checks=['reinit'], epochs=1, new_run=tmp_path / 'checks')
    assert [check.check for check in report.checks] == ['reinit']
    assert json.loads((tmp_path / 'checks/checks.json').read_text())['checks'][0]['check'] == 'reinit'


def test_stability_compares_copies_of_each_ticket(small_run):
    # Both ends alone have no barrier between them.
    for measure in (lth.stability, lth.round_barriers):
        with pytest.raises(lth.LthError, match='points: 2 is not possible. Give a whole number from 3'):
            measure(small_run, points=2)
    result = lth.stability(small_run, rounds=[0, 2], points=3)
    assert [(pair.seed, pair.round) for pair, _ in result.pairs] == [(0, 0), (0, 2), (1, 0), (1, 2)]
    assert all(errors.barrier >= 0 and len(errors.errors) == 3 for _, errors in result.pairs)
    assert result.overlaps
    with pytest.raises(lth.LthError, match='is a part of a run'):
        lth.stability(small_run.folder / 'seed-0')


def test_runs_are_compared_and_exported_together(tmp_path):
    runs = [lth.find_ticket('lenet-300-100', 'digits', rounds=0, epochs=epochs, run=tmp_path / f'run-{epochs}')
            for epochs in (1, 2)]
    compared = lth.compare(runs)
    (level,) = compared.levels
    accuracies = [run.table()[0].test_accuracy for run in runs]
    assert level.differences[0].test_accuracy.difference.mean == pytest.approx(accuracies[1] - accuracies[0])
    assert 'training.length' in [setting.name for setting in compared.settings]
    written = lth.export_metrics(runs, tmp_path / 'metrics.csv')
    assert written.rows == len((tmp_path / 'metrics.csv').read_text().splitlines()) - 1
    assert written.rows == sum(len(run.metrics()) for run in runs)
    with pytest.raises(lth.LthError, match='One run cannot be compared'):
        lth.compare(runs[:1])


def test_iterate_yields_the_rounds_of_all_seeds_without_files(tmp_path, small_run):
    rounds = list(lth.iterate(make_net, digits(), rounds=2, epochs=2, seeds=range(2)))
    assert [one.number for one in rounds] == [0, 1, 2] and not list(tmp_path.iterdir())
    assert rounds[2].ticket.mask.shape == (2, 64 * 12 + 12 * 10)
    assert [int(mask.sum()) for mask in rounds[2].ticket.mask] == [small_run.table()[row].kept for row in (2, 5)]


def settings_of_the_process() -> dict[str, object]:
    """Everything that a library must leave as it is."""

    # Some versions of torch import this in training, and it adds a folder to the search path.
    importlib.import_module('torch.distributed.nn')
    tiny = torch.tensor([1e-39])
    return {
        'threads': torch.get_num_threads(), 'denormals': bool((tiny * 0.5 != 0).all()), 'folder': os.getcwd(),
        'path': list(sys.path), 'random': torch.get_rng_state().tolist(), 'numpy': numpy.random.get_state()[1].tolist(),
        'matmul': torch.get_float32_matmul_precision(), 'dtype': torch.get_default_dtype(),
        'deterministic': torch.are_deterministic_algorithms_enabled(), 'grad': torch.is_grad_enabled(),
        'tf32': torch.backends.cudnn.allow_tf32}


def test_no_setting_of_the_process_is_changed():
    threads = torch.get_num_threads()
    torch.set_flush_denormal(False)
    try:
        torch.set_num_threads(2)
        net = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10))
        before = settings_of_the_process()
        run = lth.find_ticket(make_net, digits(), rounds=1, epochs=1, seeds=range(2), run='a')
        lth.evaluate(run)
        lth.finetune(run, epochs=1)
        list(lth.iterate(net, digits(), rounds=1, epochs=1))
        assert settings_of_the_process() == before
        lth.evaluate(run, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'model': 'lenet-301'}, 'Unknown model'), ({'data': 'digit'}, "did you mean 'digits'"),
    ({'model': 5}, 'The model is of type int'), ({'data': SHORT}, 'The data are of type dict'),
    ({'settings': {'training.batch': 3}}, "unknown key 'batch', did you mean"),
    ({'settings': {3: 3}}, 'settings: 3 is not a dotted key'),
    ({'rounds': -1}, 'rounds'), ({'epochs': 'many'}, "epochs: 'many' is not possible"),
    ({'seeds': [-1]}, r'seeds: \[-1\]'),
    ({'seeds': []}, 'seeds'), ({'seeds': 'all'}, 'seeds'), ({'seeds': 0.5}, 'seeds: 0.5'),
    ({'device': 'tpu'}, 'device'), ({'threads': 0}, 'threads: 0'), ({'engine': 'fast'}, 'engine'),
    ({'devise': 'cpu'}, "Unknown argument 'devise', did you mean 'device'"),
    ({'recipe': 'none'}, 'no recipe file'), ({'controls': ['reinits']}, 'Unknown control'),
    ({'run': ' '}, 'The name of the run is empty'), ({'controls': 'reinit'}, "controls: 'reinit' .* a list in which"),
    ({'settings': [1]}, 'settings: .* a dict'), ({'reporter': print}, 'reporter: '), ({'device': None}, 'device: None'),
    ({'model': type}, 'its arguments cannot be read')])
def test_bad_input_is_an_lth_error_and_leaves_no_trace(tmp_path, arguments, message):
    given = {'model': 'lenet-300-100', 'data': 'digits', **SHORT} | arguments
    with pytest.raises(lth.LthError, match=message):
        lth.find_ticket(given.pop('model'), given.pop('data'), **given)
    assert not list(tmp_path.iterdir())


def test_wrong_runs_and_rounds_are_lth_errors(small_run):
    for call, message in (
            (lambda: lth.open_run('nothing'), 'nothing'), (lambda: lth.finetune(small_run, round=9), 'no round 9'),
            (lambda: lth.finetune(small_run, seeds=7), 'no seed 7'),
            (lambda: small_run.ticket(seed=0, round=9), 'round-09'),
            (lambda: lth.find_gem('lenet-300-100', 'digits'), 'density')):
        with pytest.raises(lth.LthError, match=message):
            call()
