"""Exit codes and error messages: mistakes of the user, failures of the environment, closed pipes."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lth import __version__, analysis
from lth.__main__ import main
from lth.system import signal_handlers
from tests.fake_gpu import OLD_DRIVER

ROOT = Path(__file__).parent.parent.parent
EXIT_CODES = ('0', '2', '3', '70', '129', '130', '141', '143')
QUICK = ('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '2')


@pytest.mark.parametrize(('arguments', 'message'), [
    (['find-ticket', 'resnet21', 'digits'], "Unknown model 'resnet21', did you mean 'resnet20'"),
    (['find-ticket', 'lenet-300-100', 'minst'], "Unknown data set 'minst', did you mean 'mnist'"),
    ([*QUICK, '--set', 'training.epoch=3'], "training: unknown key 'epoch', did you mean 'length'?"),
    ([*QUICK, '--set', 'trainig.length=3 epochs'], "unknown key 'trainig', did you mean 'training'?"),
    ([*QUICK, '--set', 'training'], 'write it as KEY=VALUE'),
    ([*QUICK, '--set', 'training.length=[1'], 'not valid YAML'),
    ([*QUICK, '--set', 'training.batch_size=many'], "it is 'many'"),
    ([*QUICK, '--set', 'algorithm.rates.dense=1.5'], 'less than 1; it is 1.5'),
    ([*QUICK, '--set', 'algorithm=3'], 'expected settings with a name'),
    ([*QUICK[:3], '-i', '-1'], 'greater than or equal to 0; it is -1'),
    ([*QUICK, '-l', '0'], 'greater than 0; it is 0'),
    ([*QUICK, '-l', 'nan'], "--learning-rate: 'nan' is not a finite number"),
    ([*QUICK, '--threads', 'x'], "--threads: 'x' is not a whole number"),
    ([*QUICK, '--threads', '100000'], 'This machine has'), ([*QUICK, '--round', '1'], "no option '--round'"),
    ([*QUICK, '--seed', '1'], "There is no option '--seed', did you mean '--seeds'"),
    ([*QUICK, '--control-draws', '0'], '--control-draws: 0 is too small. Give at least 1.'),
    ([*QUICK, '-e'], '-e: the value is missing'), (['find-ticket'], 'MODEL is missing'),
    ([*QUICK, 'a', 'b'], 'too many arguments'),
    (['find-tickets'], "no command 'find-tickets', did you mean 'find-ticket'"),
    ([*QUICK, '--set', 'algorithm.rewind=99 epochs'], 'is not before the end of training, 2 epochs'),
    ([*QUICK, '-b', '2000'], '2000 is more than the 1294 training images of digits'),
    ([*QUICK, '--set', 'data.validation=1437'], 'leave none of the 1,437 training images'),
    ([*QUICK, '--recipe', 'none.yaml'], "no recipe file 'none.yaml'"),
    ([*QUICK, '--recipe', 'resnet20-cifar10'], "is for 'resnet20'"),
    ([*QUICK, '--set', 'training.optimizer.betas=[1.5, 0.9]'], 'less than 1; it is 1.5'),
    ([*QUICK, '--set', 'training.optimizer.betas=[0.9]'], "betas: the key '1' is missing"),
    ([*QUICK, '--set', 'algorithm.rates=[1]'], 'it is [1]'),
    ([*QUICK, '--set', 'training.batch_size=' + '9' * 5000], 'not valid YAML'),
    ([*QUICK, '--set', 'training.x=' + '[' * 3000], 'not valid YAML'),
    ([*QUICK, '--set', 'training.warmup=9999999999999 iterations'], 'at most 999,999,999 epochs or iterations'),
    ([*QUICK, '--set', 'training.optimizer.weight_decay=.inf'], 'finite number'),
    ([*QUICK, '--set', 'training.schedule.name=cosinus'], "unknown name 'cosinus', did you mean 'cosine'?"),
    ([*QUICK, '--set', 'algorithm.criterion=magnitudo'], "Unknown criterion 'magnitudo', did you mean 'magnitude'"),
    ([*QUICK, '--mask-0-action', 'zeros'], "Unknown mask-0 action 'zeros', did you mean 'zero'"),
    ([*QUICK, '--mask-1-action', 'reshuffle', '--retrain', 'fine-tuning'], 'weights are never rewound'),
    ([*QUICK, '--retrain', 'rewinding'], "'rewinding' is not one of"),
    ([*QUICK, '--set', 'model.name=conv-2'], 'the model is the first argument'),
    ([*QUICK, '--set', 'data.name=mnist'], 'the data set is the second argument'),
    ([*QUICK, '--run', ''], 'The name of the run is empty'),
    ([*QUICK, '--recipe', 'x' * 300], 'There is no recipe file'),
    ([*QUICK[:5], '-b', '1294', '-e', '1', '-l', '1e30'], 'no longer a finite number at iteration'),
    ([*QUICK, '--seeds', 'one'], "--seeds: 'one' is not a list of numbers"),
    ([*QUICK, '--seeds', '4-2'], "--seeds: '4-2' is not a list of numbers"),
    ([*QUICK, '--device', 'tpu'], "Unknown device 'tpu'"),
    ([*QUICK, '--set', 'algorithm.keep_out=[shortcuts]'], "no layer matches 'shortcuts'"),
    ([*QUICK, '-l', '1e30', '--set', 'training.optimizer.name=adam'], 'no longer a finite number at iteration'),
    (['evaluate', 'nothing'], "'nothing' is not a run"),
    (['list', 'modles'], 'modles')])
def test_a_mistake_prints_one_paragraph_exits_with_2_and_writes_no_files(lth, tmp_path, arguments, message):
    result = lth(*arguments)
    assert result.code == 2
    assert message in ' '.join(result.err.split())
    assert result.out == '' and 'Traceback' not in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures('gpus')
def test_device_cuda_without_a_gpu_is_an_error(lth, tmp_path):
    result = lth(*QUICK, '--device', 'cuda')
    assert result.code == 2 and 'is not available' in result.err and not list(tmp_path.iterdir())


def test_a_driver_that_is_too_old_exits_with_3_or_is_a_note_if_the_cpu_is_used_instead(lth, tmp_path, gpus):
    gpus.break_driver(OLD_DRIVER)
    result = lth(*QUICK, '--device', 'cuda')
    assert result.code == 3 and 'the NVIDIA driver is too old' in ' '.join(result.err.split())
    assert 'Traceback' not in result.err and not list(tmp_path.iterdir())
    result = lth(*QUICK[:3], '-i', '0', '-e', '2')
    assert result.code == 0
    assert 'the GPU is not used: the NVIDIA driver is too old' in ' '.join((result.out + result.err).split())


def test_a_precision_that_the_gpu_lacks_is_an_error(lth, tmp_path, gpus):
    gpus.install(1, name='Tesla T4', capability=(7, 5))
    result = lth(*QUICK, '--device', 'cuda', '--precision', 'bf16')
    assert result.code == 2 and 'cuda:0 (Tesla T4) has 7.5. Use --precision fp32' in ' '.join(result.err.split())
    assert not list(tmp_path.iterdir())


def test_tf32_on_a_cpu_is_a_note_and_trains_as_fp32(lth, tmp_path):
    for precision in ('tf32', 'fp32'):
        result = lth(*QUICK[:3], '-i', '0', '-e', '2', '--device', 'cpu', '--precision', precision, '--run', precision)
        assert result.code == 0
        assert ('Note: tf32 is computed as fp32' in result.out + result.err) == (precision == 'tf32')
    trained = 'seed-0/round-00/metrics.jsonl'
    assert (tmp_path / 'runs/tf32' / trained).read_bytes() == (tmp_path / 'runs/fp32' / trained).read_bytes()


def test_a_file_instead_of_a_run_folder_is_an_error(lth, tmp_path):
    (tmp_path / 'file').write_text('')
    assert 'is a file' in lth(*QUICK, '--run', './file').err


def test_a_closed_pipe_is_not_an_error():
    listing = subprocess.run(f'{sys.executable} -m lth list criteria | head -c 0; exit ${{PIPESTATUS[0]}}', shell=True,
                             executable='/bin/bash', capture_output=True, text=True, check=False)
    assert (listing.returncode, listing.stderr) == (0, '')


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs a device that is always full')
def test_a_full_disk_exits_with_3():
    with open('/dev/full', 'w', encoding='utf-8') as full:
        listing = subprocess.run([sys.executable, '-m', 'lth', 'list', 'criteria', '--json'], stdout=full,
                                 stderr=subprocess.PIPE, text=True, check=False)
    assert listing.returncode == 3
    assert 'No space left on device' in listing.stderr


def test_a_corrupt_round_is_named_on_resume(lth, tmp_path):
    lth(*QUICK)
    corrupt = tmp_path / 'runs/lenet-300-100-digits/seed-0/round-00/ticket.safetensors'
    corrupt.write_bytes(corrupt.read_bytes()[:1000])
    (tmp_path / 'runs/lenet-300-100-digits/seed-0/round-01').rename(tmp_path / 'away')
    result = lth(*QUICK)
    assert result.code == 2 and 'round-00/ticket.safetensors is damaged' in ' '.join(result.err.split())


def test_a_seed_that_diverges_stops_the_run_with_the_reason(lth):
    result = lth(*QUICK, '--seeds', '0-1', '-l', '1e30')
    assert result.code == 2 and 'is no longer a finite number at iteration' in result.err


def test_a_name_of_a_run_that_is_too_long_exits_with_2(lth, tmp_path):
    result = lth(*QUICK, '--run', 'x' * 300)
    assert result.code == 2 and 'File name too long' in result.err and not list(tmp_path.iterdir())


def test_a_bug_exits_with_70_and_asks_to_report_its_traceback(monkeypatch, capfd):
    def fail(_kind: str) -> None:
        raise KeyError('[a]')
    monkeypatch.setattr(analysis.catalog, 'entries', fail)
    monkeypatch.setattr(signal_handlers, 'end_on_signals', lambda _message: None)
    monkeypatch.setattr(sys, 'argv', ['lth', 'list', 'models'])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    assert ended.value.code == 70 and out == ''
    *trace, paragraph = err.splitlines()
    assert trace[0] == 'Traceback (most recent call last):' and trace[-1] == "KeyError: '[a]'"
    assert paragraph.startswith("Error: This is a bug of lth, not a mistake of yours: KeyError: '[a]'.")
    assert f'lth list models (lth {__version__}, ' in paragraph
    assert f'torch {torch.__version__.partition("+")[0]}' in paragraph


def test_exit_codes_are_documented(lth):
    documented = re.findall(r'^\| (\d+) \|', (ROOT / 'docs/runs.md').read_text(), re.MULTILINE)
    assert set(EXIT_CODES) | {'1'} == set(documented)
    shown = ' '.join(lth('--help').out.split()).partition('Exit codes:')[2]
    assert all(f'{code} ' in shown for code in EXIT_CODES)
