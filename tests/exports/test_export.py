"""lth.export: files that compute the same without lth, or nothing at all."""
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import nn

import lth
from lth.errors import LthError
from lth.exports import latency, same_function
from lth.exports.export_format import EXPORT_FORMATS, Exported, Loaded
from lth.exports.exported_network import ExportedNetwork
from tests.registrations import forget_registrations

ROUND = 'runs/base/seed-0/round-02'
SMALL = {'rounds': 2, 'epochs': 2, 'settings': {'algorithm.rates': 0.7}}
# What a colleague writes, in a folder without lth: it prints the logits of the images in images.npy.
SCRIPTS: Mapping[str, str] = {
    'torch': '''
from safetensors.torch import load_file
from torch import nn
from collections import OrderedDict
module = nn.Sequential(OrderedDict(
    flatten=nn.Flatten(), dense1=nn.Linear(64, 300), relu1=nn.ReLU(), dense2=nn.Linear(300, 100), relu2=nn.ReLU(),
    output=nn.Linear(100, 10)))
module.load_state_dict(load_file('model.safetensors'))
logits = module.eval()(images)
''',
    'compacted': '''
from model import load
logits = load('model.safetensors')(images)
''',
    'csr': '''
from csr_layers import load_into
from torch import nn
from collections import OrderedDict
module = nn.Sequential(OrderedDict(
    flatten=nn.Flatten(), dense1=nn.Linear(64, 300), relu1=nn.ReLU(), dense2=nn.Linear(300, 100), relu2=nn.ReLU(),
    output=nn.Linear(100, 10)))
logits = load_into(module, 'model.safetensors')(images)
''',
    'onnx': '''
import onnxruntime
session = onnxruntime.InferenceSession('model.onnx')
(logits,) = session.run(['logits'], {'images': images.numpy()})
logits = torch.from_numpy(logits)
'''}
BEFORE = '''
import sys, numpy, torch
images = torch.from_numpy(numpy.load('images.npy'))
torch.set_grad_enabled(False)
'''
AFTER = '''
assert not any(name.split('.')[0] == 'lth' for name in sys.modules)
numpy.save('logits.npy', logits.numpy())
'''


@pytest.fixture(scope='module', name='base')
def _base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('base')
    lth.find_ticket('lenet-300-100', 'digits', run=str(folder / 'runs/base'), **SMALL)
    return folder


@pytest.fixture(autouse=True)
def _runs(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(base / 'runs', tmp_path / 'runs')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(latency, '_TURNS', 4)


def digit_images() -> np.ndarray:
    """The last 360 digits as the network sees them: pixels of 0-16, which lth stores as 0-255."""

    pixels = load_digits().images[-360:]
    return (np.round(pixels * 255 / 16) / 255).astype(np.float32)[:, None]


def network_logits(path: str, images: torch.Tensor, weights: str = 'trained') -> torch.Tensor:
    """The logits of the round by another way: the module of load_ticket."""

    ticket = lth.load_ticket(path)
    module = (ticket.as_trained() if weights == 'trained' else ticket).module().eval()
    with torch.no_grad():
        return module(images)


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=pytest.mark.slow if name in ('onnx', 'csr') else ()) for name in SCRIPTS])
def test_an_export_computes_the_same_in_a_process_that_does_not_know_lth(name, tmp_path):
    if name == 'onnx':
        pytest.importorskip('onnxruntime', reason="needs the extra onnx: pip install 'lth[onnx]'")
    made = lth.export(ROUND, name, output=tmp_path / 'out')
    images = torch.from_numpy(digit_images())
    np.save(tmp_path / 'out/images.npy', images.numpy())
    (tmp_path / 'out/use.py').write_text(BEFORE + SCRIPTS[name] + AFTER)
    subprocess.run([sys.executable, '-I', '-c', 'import sys; sys.path.insert(0, "."); exec(open("use.py").read())'],
                   cwd=tmp_path / 'out', check=True)
    expected, found = network_logits(ROUND, images), torch.from_numpy(np.load(tmp_path / 'out/logits.npy'))
    assert float((expected - found).abs().max()) <= 1e-5 * float(expected.abs().max())
    assert made.comparison.images == 360 and made.inputs.kind == 'test images'
    assert [latency.batch for latency in made.latencies] == [1, 64]


def test_the_description_says_what_the_files_are(tmp_path):
    made = lth.export(ROUND, 'torch')
    assert made.folder == Path('runs/base-exports/seed-0-round-02-torch')
    facts = json.loads((made.folder / 'export.json').read_text())
    record = lth.open_run(ROUND).stored.record(0, 2)
    assert (facts['run'], facts['seed'], facts['round'], facts['weights']) == ('base', 0, 2, 'trained')
    assert facts['counts'] == {'kept': record.kept, 'prunable': record.prunable, 'weights': record.weights,
                               'density': record.density, 'frozen_elsewhere': 0}
    assert facts['input'] == {'shape': [1, 8, 8], 'type': 'float32', 'divide_by': 255, 'standardized': False,
                              'mean': None, 'std': None}
    assert facts['output'] == {'classes': 10, 'class_names': list('0123456789')}
    assert facts['test_accuracy'] == record.test_accuracy and facts['ticket'] == record.ticket
    done = subprocess.run(
        ['sha256sum', '-c', 'SHA256SUMS'], cwd=made.folder, capture_output=True, text=True, check=True)
    assert done.stdout.count(': OK') == 3
    readme = (made.folder / 'README.txt').read_text()
    assert f'{record.kept:,} of {record.prunable:,}' in readme and 'load_file(' in readme
    again = lth.export(ROUND, 'torch', output=tmp_path / 'again')
    for path in made.folder.iterdir():
        assert path.read_bytes() == (again.folder / path.name).read_bytes(), path.name


def test_the_weights_of_the_ticket_are_those_before_training(tmp_path):
    made = lth.export(ROUND, 'torch', weights='ticket', output=tmp_path / 'out')
    ticket = lth.load_ticket(ROUND)
    for name, tensor in load_file(made.folder / 'model.safetensors').items():
        assert torch.equal(tensor, ticket.weights[name])
    assert json.loads((made.folder / 'export.json').read_text())['test_accuracy'] is None


def test_compaction_removes_units_and_csr_stores_the_kept_weights_only(tmp_path):
    compacted = lth.export(ROUND, 'compacted', output=tmp_path / 'compacted')
    details = compacted.exported.details
    assert details['units_left'] < details['units'] == 410 and compacted.size < compacted.dense_size
    csr = lth.export(ROUND, 'csr', output=tmp_path / 'csr')
    tensors = load_file(csr.folder / 'model.safetensors')
    masks = lth.load_ticket(ROUND).masks
    for name, mask in masks.items():
        assert tensors[f'{name}.values'].numel() <= int(mask.sum()) < mask.numel()
        assert tensors[f'{name}.crow'].tolist()[-1] == tensors[f'{name}.col'].numel()


def test_convolutions_of_a_ticket_are_compacted(tmp_path):
    lth.find_ticket('lenet-5', 'digits', run='runs/conv', rounds=1, epochs=1,
                    settings={'algorithm.rates': 0.9, 'data.size': 16})
    made = lth.export('conv/seed-0/round-01', 'compacted', output=tmp_path / 'out')
    assert made.exported.details['units_left'] < made.exported.details['units']


@pytest.mark.parametrize('path, words', [
    ('base', ['base has 3 rounds', 'runs/base/seed-0/round-00', 'runs/base/seed-0/round-02']),
    ('base/seed-0', ['seed-0 has 3 rounds', 'runs/base/seed-0/round-01']),
    ('base/seed-0/round-09', ['no round 9']),
    ('base/seed-4/round-00', ['no round 0 of seed 4'])])
def test_a_path_that_is_not_one_round_is_refused_with_what_can_be_exported(path, words):
    refused(words, path, 'torch')


def refused(words: list[str], *arguments: object, **options: object) -> None:
    """The export is refused in these words, and nothing is written."""

    before = sorted(Path().rglob('*'))
    with pytest.raises(LthError) as raised:
        lth.export(*arguments, **options)
    assert all(word in str(raised.value) for word in words), raised.value
    assert sorted(Path().rglob('*')) == before


def test_an_output_folder_that_exists_is_never_replaced():
    Path('file').write_text('mine')
    Path('folder').mkdir()
    Path('link').symlink_to('nowhere')
    refused(['-o', "'file' is a file"], ROUND, 'torch', output='file')
    refused(['-o', "'folder' is a folder that exists"], ROUND, 'torch', output='folder')
    refused(['-o', "'link'"], ROUND, 'torch', output='link')
    refused(['-o', 'file is not a folder'], ROUND, 'torch', output='file/below/it')


def test_an_unknown_format_is_refused_with_similar_names():
    refused(["export format 'compact'", "did you mean 'compacted'"], ROUND, 'compact')


@pytest.mark.parametrize('keep, weights, words', [
    ('tickets', 'trained', ['trained weights of round 1', '--weights ticket', 'round-02']),
    ('last', 'ticket', ['tickets of round 1', '--keep all', 'round-02'])])
def test_weights_that_keep_removed_are_refused_with_what_is_left(keep, weights, words):
    lth.find_ticket('lenet-300-100', 'digits', run='runs/base', keep=keep, **SMALL)
    refused([*words, 'the option --keep removed'], 'runs/base/seed-0/round-01', 'torch', weights=weights)


def test_pruned_weights_that_are_frozen_at_other_values_are_exported_and_reported(tmp_path):
    lth.find_ticket('lenet-300-100', 'digits', run='runs/frozen', rounds=1, epochs=1,
                    settings={'algorithm.mask_0_action': 'init'})
    made = lth.export('frozen/seed-0/round-01', 'torch', output=tmp_path / 'out')
    assert any('frozen at values other than 0' in note for note in made.notes)


def test_gems_and_finetuned_runs_are_exported_too(tmp_path):
    gem = lth.find_gem('lenet-300-100', 'digits', density=0.1, epochs=2, run='runs/gem',
                       settings={'algorithm.freeze_every': '1 epochs'})
    finetuned = lth.finetune(gem, epochs=1)
    for run in (gem, finetuned):
        path = max(run.folder.glob('seed-0/round-*'))
        made = lth.export(path, 'compacted', output=tmp_path / run.folder.name)
        assert made.comparison.difference <= 1e-5 * made.comparison.largest


def test_without_the_data_set_random_inputs_are_compared_and_reported(tmp_path, monkeypatch):
    def fail(*_arguments):
        raise LthError('mnist cannot be downloaded.')
    monkeypatch.setattr('lth.experiments.plan.Plan.load', fail)
    made = lth.export(ROUND, 'torch', output=tmp_path / 'out', images=50)
    assert made.inputs.kind == 'random inputs' and made.comparison.images == 50
    assert any('random inputs' in note and 'cannot be downloaded' in note for note in made.notes)


def test_the_format_onnx_without_its_packages_names_the_extra(monkeypatch):
    monkeypatch.setattr('lth.exports.formats.onnx_graph._PACKAGES', ('onnx_that_is_missing',))
    refused(['package onnx_that_is_missing', "pip install 'lth[onnx]'"], ROUND, 'onnx')


@pytest.mark.slow
@pytest.mark.parametrize('operation, cause', [
    ('x + 0 * torch.linalg.qr(x.detach()[:, :, None])[1].mean()', 'linalg_qr'),
    ('x if x.sum() > 0 else -x', 'data-dependent')])
def test_an_operation_that_onnx_does_not_have_is_refused_with_its_name(operation, cause):
    pytest.importorskip('onnxscript', reason="needs the extra onnx: pip install 'lth[onnx]'")
    Path('net.py').write_text(f'''
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(64, 10)

    def forward(self, images):
        x = self.last(images.flatten(1))
        return {operation}


def net(shape, classes):
    return Net()
''')
    lth.find_ticket('net.py:net', 'digits', run='runs/own', rounds=1, epochs=1)
    refused(['cannot be exported to ONNX', cause, 'torch, csr and compacted'], 'own/seed-0/round-01', 'onnx',
            trust_code=True)


def broken(network: ExportedNetwork) -> Exported:
    """Doubles the logits of the first class."""

    module = network.fresh_module()
    with torch.no_grad():
        module.output.weight[0] *= 2
    return Exported({'x': b''}, lambda _folder: Loaded.of(module), '')


def rounded(network: ExportedNetwork) -> Exported:
    """Exact in float64, but not in float32."""

    exact = Loaded.of(network.fresh_module())
    return Exported({'x': b''}, lambda _folder: Loaded(lambda images: exact.single(images) * 1.0001, exact.double), '')


@pytest.fixture(name='registered')
def _registered(monkeypatch: pytest.MonkeyPatch):
    forget_registrations(monkeypatch, EXPORT_FORMATS)
    return EXPORT_FORMATS.register


def test_an_export_that_computes_something_else_is_refused(registered):
    registered('broken')(broken)
    refused(['computes other logits', 'Nothing was written', 'float64'], ROUND, 'broken')


def test_rounding_of_float32_is_checked_in_float64_and_reported(registered):
    registered('rounded')(rounded)
    made = lth.export(ROUND, 'rounded')
    assert made.comparison.precision == 'float64' and made.comparison.difference == 0
    assert any('compared in float64' in note for note in made.notes)


def test_a_format_of_a_plug_in_is_exported_and_described_like_the_others(registered):
    def halves(network: ExportedNetwork) -> Exported:
        """Nothing but the first sentence."""

        return Exported({'a': b'1'}, lambda _folder: Loaded.of(network.module), 'Use it.')
    registered('mine')(halves)
    made = lth.export(ROUND, 'mine')
    assert made.size == 1 and 'Use it.' in (made.folder / 'README.txt').read_text()


def test_an_interrupted_export_leaves_a_folder_that_the_next_one_removes(monkeypatch):
    def killed(*_arguments):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr('os.rename', killed)
        with pytest.raises(KeyboardInterrupt):
            lth.export(ROUND, 'torch')
    folder = Path('runs/base-exports/seed-0-round-02-torch')
    assert not folder.exists()
    folder.with_name(f'{folder.name}.partial').mkdir()  # what SIGKILL leaves
    lth.export(ROUND, 'torch')
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_full_disk_is_an_error_with_exit_code_3(monkeypatch):
    def full(*_arguments):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr('lth.system.files.write_new_folder', full)
    with pytest.raises(LthError, match='No space left') as raised:
        lth.export(ROUND, 'torch')
    assert raised.value.exit_code == 3 and not Path('runs/base-exports').exists()


def test_a_user_model_exports_its_state_dict_and_is_compacted_where_it_can_be_traced(tmp_path):
    Path('net.py').write_text('''
from torch import nn


class Net(nn.Module):
    def __init__(self, pixels, classes):
        super().__init__()
        self.first, self.last = nn.Linear(pixels, 30), nn.Linear(30, classes)

    def forward(self, images):
        features = self.first(images.flatten(1))
        if features.sum() > 1e9:
            features = -features
        return self.last(features.relu())


def net(shape, classes):
    return Net(shape[0] * shape[1] * shape[2], classes)
''')
    lth.find_ticket('net.py:net', 'digits', run='runs/own', rounds=1, epochs=1)
    path = 'own/seed-0/round-01'
    made = lth.export(path, 'torch', output=tmp_path / 'torch', trust_code=True)
    assert set(load_file(made.folder / 'model.safetensors')) == {
        'first.weight', 'first.bias', 'last.weight', 'last.bias'}
    refused(['cannot be compacted', 'near its layer first', 'The other formats'], path, 'compacted', trust_code=True)


def test_a_network_whose_logits_are_not_finite_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        network[1].bias[0] = float('inf')
    loaded = Loaded.of(network.eval())

    with pytest.raises(LthError, match='not finite'):
        same_function.compare(loaded, loaded, torch.zeros(3, 1, 8, 8), 2)
