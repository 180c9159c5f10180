"""Folders of pictures: found, decoded once or streamed, prepared for FFCV."""
import importlib.util
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lth import workers
from lth.datasets import DATASETS, decoding, folders, prepared
from lth.errors import LthError
from lth.recipe import DataSettings
from tests.conftest import Result

FFCV = pytest.mark.skipif(
    importlib.util.find_spec('ffcv') is None, reason="FFCV is not installed: pip install '.[ffcv]'")
MEMORY, STREAM = (DataSettings(name='folder', storage=storage) for storage in ('memory', 'stream'))


def pictures(folder: Path, count: int, *, side: int = 16, mode: str = 'RGB', suffix: str = 'jpg') -> None:
    """Smooth pictures, which JPEG keeps nearly as they are, in classes a, b, c."""

    for number in range(count):
        place = folder / 'abc'[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        ramp = Image.linear_gradient('L').resize((side, side)).rotate(90 * number)
        if mode == 'RGB':
            ramp = Image.merge('RGB', [ramp, ramp.rotate(90), Image.new('L', ramp.size, 20 * number % 256)])
        ramp.save(place / f'{number:03d}.{suffix}')


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """30 training and 9 test pictures."""

    pictures(tmp_path / 'flowers' / 'train', 30)
    pictures(tmp_path / 'flowers' / 'test', 9)
    return tmp_path / 'flowers'


def test_a_folder_tells_its_classes_counts_and_shape_before_pictures_are_read(flowers):
    source = DATASETS.find(f'folder:{flowers}')
    assert (source.shape, source.classes, source.pictures) == ((3, 16, 16), 3, (30, 9))
    assert source.settings == {'validation': 3}


def test_pictures_are_what_pillow_reads_in_the_order_of_classes_and_names(flowers, tmp_path):
    data = DATASETS.find(f'folder:{flowers}').read(tmp_path, MEMORY)
    assert data.train.labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10 and data.reader == 'memory'
    with Image.open(flowers / 'train' / 'b' / '004.jpg') as image:
        expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(data.train.images[11], expected)
    pixels = data.train.images.double() / 255
    assert data.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-5)
    assert data.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-5)


def test_without_a_test_folder_a_sixth_is_set_aside_and_always_the_same(tmp_path):
    pictures(tmp_path / 'all', 30)
    (tmp_path / 'all' / 'a' / 'Thumbs.db').write_text('no picture')
    folders.source.cache_clear()
    data = [DATASETS.find(f'folder:{tmp_path}/all').read(tmp_path, MEMORY) for _ in range(2)]
    assert (len(data[0].train.labels), len(data[0].test.labels)) == (25, 5)
    assert torch.equal(data[0].test.images, data[1].test.images)


def test_pictures_of_any_size_are_scaled_to_cover_a_square_and_cut_in_the_middle(tmp_path):
    wide = Image.new('RGB', (40, 20), (255, 0, 0))
    wide.paste((0, 0, 255), (10, 0, 30, 20))
    wide.save(tmp_path / 'wide.png')
    found = decoding.decoded(tmp_path / 'wide.png', (3, 10, 10))
    assert found[2, 1:-1, 1:-1].min() == 255 and found[0, 1:-1, 1:-1].max() == 0


@pytest.mark.parametrize(('mode', 'channels'), [('L', 1), ('RGB', 3)])
def test_grey_folders_have_one_channel_unless_colour_is_asked_for(tmp_path, mode, channels):
    pictures(tmp_path / 'all', 12, mode=mode, suffix='png')
    source = DATASETS.find(f'folder:{tmp_path}/all')
    assert source.shape == (channels, 16, 16)
    assert source.read(tmp_path, MEMORY.model_copy(update={'channels': 3})).shape == (3, 16, 16)


def test_pictures_are_decoded_once_and_again_if_a_file_changes(flowers, tmp_path, monkeypatch):
    source = DATASETS.find(f'folder:{flowers}')
    first = source.read(tmp_path, MEMORY)
    monkeypatch.setattr(decoding, 'decoded', lambda *_: pytest.fail('decoded again'))
    assert torch.equal(source.read(tmp_path, MEMORY).train.images, first.train.images)
    monkeypatch.undo()
    Image.new('RGB', (16, 16)).save(flowers / 'train' / 'a' / '000.jpg')
    assert source.read(tmp_path, MEMORY).train.images[0].max() == 0


def test_a_torn_file_of_decoded_pictures_is_made_again(flowers, tmp_path):
    source = DATASETS.find(f'folder:{flowers}')
    first = source.read(tmp_path, MEMORY)
    for file in (tmp_path / 'decoded').iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(source.read(tmp_path, MEMORY).train.images, first.train.images)


def test_where_nothing_can_be_written_pictures_are_read_all_the_same(flowers, tmp_path):
    (tmp_path / 'file').write_text('')
    assert len(DATASETS.find(f'folder:{flowers}').read(tmp_path / 'file', MEMORY).train.labels) == 30


@pytest.mark.parametrize('settings', [MEMORY, STREAM], ids=['memory', 'stream'])
def test_broken_pictures_are_named_and_counted_or_left_out_as_asked(flowers, tmp_path, settings):
    (flowers / 'train' / 'a' / '000.jpg').write_bytes(b'no picture')
    (flowers / 'train' / 'c' / '029.jpg').write_bytes((flowers / 'train' / 'c' / '029.jpg').read_bytes()[:300])
    source = DATASETS.find(f'folder:{flowers}')
    says = 'of 30 pictures cannot be decoded: .*train/a/000.jpg.*data.undecodable=skip'
    with pytest.raises(LthError, match=says):
        source.read(tmp_path, settings)
    data = source.read(tmp_path, settings.model_copy(update={'undecodable': 'skip'}))
    assert data.train.labels.bincount().tolist() == [9, 10, 9] and data.train.images.shape == (28, 3, 16, 16)


@pytest.mark.parametrize(('change', 'says'), [
    (lambda path: (path / 'test' / 'd').mkdir(), 'the classes differ between train and test: d in one of them only'),
    (lambda path: [file.unlink() for file in (path / 'test').rglob('*.jpg')], 'has no test pictures'),
    (lambda path: [shutil.rmtree(path / 'train' / name) for name in 'ab'], 'train has 1 subfolders, expected one')])
def test_what_is_wrong_with_a_folder_is_told(flowers, change: Callable[[Path], object], says):
    change(flowers)
    with pytest.raises(LthError, match=says):
        DATASETS.find(f'folder:{flowers}')


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(LthError, match='nowhere cannot be read: No such file or directory'):
        DATASETS.find(f'folder:{tmp_path}/nowhere')


def test_a_stream_gives_the_pictures_of_memory_in_the_order_asked_for(flowers, tmp_path):
    source = DATASETS.find(f'folder:{flowers}')
    memory, stream = source.read(tmp_path, MEMORY), source.read(tmp_path, STREAM)
    rows = torch.randperm(30)[:25]
    found = [batch.clone() for batch in stream.train.images.batches(rows, 8)]
    assert [len(batch) for batch in found] == [8, 8, 8, 1]
    assert torch.equal(torch.cat(found), memory.train.images[rows]) and stream.mean == memory.mean
    assert 'FFCV' in stream.remark and stream.reader == 'files'


def run(lth: Callable[..., Result], flowers: Path, name: str, *more: str) -> Result:
    return lth('find-ticket', 'conv-2', f'folder:{flowers}', '-i', '1', '-e', '2', '-b', '6', '--run', name, *more)


def test_training_on_streamed_files_equals_training_in_memory_bit_for_bit(flowers, lth):
    for storage in ('memory', 'stream'):
        result = run(lth, flowers, storage, '--set', f'data.storage={storage}', '--set', 'data.crop=2', '--set',
                     'data.flip=true', '--set', 'data.resolution=12', '--set', 'training.measure_every=1 iterations')
        assert result.code == 0, result.err
        assert ('decoded file by file' in result.err) == (storage == 'stream')
    one, other = (Path('runs', name, 'seed-0', 'round-01') for name in ('memory', 'stream'))
    assert (one / 'trained.safetensors').read_bytes() == (other / 'trained.safetensors').read_bytes()
    assert (one / 'metrics.jsonl').read_text() == (other / 'metrics.jsonl').read_text()


@FFCV
@pytest.mark.timeout(200)
@pytest.mark.xdist_group('ffcv')
def test_prepared_pictures_are_streamed_by_ffcv_with_the_same_labels_order_and_nearly_the_same_pixels(
        flowers, lth, tmp_path):
    (flowers / 'train' / 'b' / '001.jpg').write_bytes(b'no picture')
    refused = lth('prepare', f'folder:{flowers}')
    assert refused.code == 2 and '1 of 39 pictures cannot be decoded' in refused.err
    assert not list(flowers.glob('*.beton*')) and not list(flowers.glob('*.partial*'))
    result = lth('prepare', f'folder:{flowers}', '--undecodable', 'skip', '--json')
    assert result.code == 0, result.err
    assert [Path(file).name for file in json.loads(result.out)['files']] == [
        'train-3x16x16.beton', 'test-3x16x16.beton', 'prepared-3x16x16.json']
    source = DATASETS.find(f'folder:{flowers}')
    skip = {'undecodable': 'skip'}
    memory = source.read(tmp_path, MEMORY.model_copy(update=skip))
    stream = source.read(tmp_path, STREAM.model_copy(update=skip))
    assert stream.reader == 'ffcv' and torch.equal(stream.train.labels, memory.train.labels)
    rows = torch.randperm(29)
    for _ in range(2):
        found = torch.cat([batch.clone() for batch in stream.train.images.batches(rows, 8)])
        assert (found.float() - memory.train.images[rows].float()).abs().mean() < 4
    first = next(stream.train.images.batches(rows, 8)).clone()  # broken off after a batch
    assert torch.equal(first, found[:8])
    trained = run(lth, flowers, 'ffcv', '--set', 'data.storage=stream', '--set', 'data.resized_crop=0.5')
    assert trained.code == 0 and 'streamed by FFCV' in trained.err, trained.err
    again = run(lth, flowers, 'again', '--set', 'data.storage=stream', '--set', 'data.resized_crop=0.5')
    weights = [Path('runs', name, 'seed-0', 'round-01', 'trained.safetensors') for name in ('ffcv', 'again')]
    assert again.code == 0 and weights[0].read_bytes() == weights[1].read_bytes()
    beton = flowers / 'train-3x16x16.beton'
    beton.write_bytes(beton.read_bytes()[:-10])
    torn = run(lth, flowers, 'torn', '--set', 'data.storage=stream')
    assert torn.code == 2 and 'train-3x16x16.beton is torn' in torn.err
    (flowers / 'prepared-3x16x16.json').unlink()
    (flowers / 'train' / 'b' / '001.jpg').write_bytes((flowers / 'train' / 'b' / '004.jpg').read_bytes())
    other = run(
        lth, flowers, 'ffcv', '--set', 'data.storage=stream', '--set', 'data.resized_crop=0.5', '--seeds', '0-1')
    assert other.code == 2 and "begun with pictures from 'ffcv', now they come from 'files'" in other.err


@FFCV
@pytest.mark.timeout(200)
@pytest.mark.xdist_group('ffcv')
def test_a_reader_of_ffcv_that_breaks_off_is_told_and_does_not_hang(flowers, tmp_path, lth, monkeypatch):
    assert lth('prepare', f'folder:{flowers}').code == 0
    stream = DATASETS.find(f'folder:{flowers}').read(tmp_path, STREAM)
    from ffcv.loader.epoch_iterator import EpochIterator  # pylint: disable=import-outside-toplevel

    def broken(*_arguments: object) -> None:
        raise RuntimeError
    monkeypatch.setattr(threading, 'excepthook', lambda _: None)
    monkeypatch.setattr(EpochIterator, 'run_pipeline', broken)
    with pytest.raises(LthError, match='FFCV cannot read .*train-3x16x16.beton: its thread broke off'):
        next(stream.train.images.batches(torch.arange(8), 8))
    monkeypatch.setattr(EpochIterator, 'run_pipeline', lambda *_: threading.Event().wait(4))
    monkeypatch.setattr(prepared, '_SECONDS_OF_PATIENCE', 2)
    with pytest.raises(LthError, match='its thread stands still'):
        next(stream.train.images.batches(torch.arange(8), 8))


@FFCV
@pytest.mark.timeout(100)
@pytest.mark.xdist_group('ffcv')
def test_a_writer_of_ffcv_that_stands_still_or_dies_is_told_and_leaves_nothing(flowers, tmp_path, monkeypatch):
    found = folders.source(str(flowers))
    with monkeypatch.context() as patched:
        patched.setattr(prepared, '_SECONDS_OF_PATIENCE', 3)
        patched.setattr(prepared, '_work', _stands_still)
        with pytest.raises(LthError, match='FFCV stands still at picture 0 of 39'):
            found.prepare(tmp_path, STREAM, lambda *_: None)
    monkeypatch.setattr(prepared, '_work', _dies)
    with pytest.raises(LthError, match='its process ended with 7 after 0 of 39 pictures. the last words'):
        found.prepare(tmp_path, STREAM, lambda *_: None)
    assert sorted(path.name for path in flowers.iterdir()) == ['test', 'train']


def _stands_still(*_arguments: object) -> None:
    threading.Event().wait()


def _dies(_parts: object, log: str, *_arguments: object) -> None:
    Path(log).write_text('much\nthe last words\n')
    raise SystemExit(7)


def test_without_ffcv_the_way_to_it_is_told(flowers, lth, monkeypatch):
    monkeypatch.setattr(prepared.importlib.util, 'find_spec', lambda _name: None)
    result = lth('prepare', f'folder:{flowers}')
    assert result.code == 2 and "FFCV is not installed: pip install 'lth[ffcv]'" in result.err


@pytest.mark.parametrize(('name', 'says'), [
    ('digits', 'digits lives in memory, so there is nothing to prepare'),
    ('imagenet', 'imagenet/train has 0 pictures in 0 folders, ImageNet has 1281167 in 1000. It must be fetched by')])
def test_what_cannot_be_prepared_is_told(name, says, lth):
    result = lth('prepare', name, './datasets')
    assert result.code == 2 and says in ' '.join(result.err.split()) and not Path('datasets').exists()


def test_a_process_with_children_ends_with_all_of_them(tmp_path):
    process = workers.started_with_children(_parent, str(tmp_path / 'child'))
    while not (tmp_path / 'child').exists() or not (tmp_path / 'child').read_text():
        assert process.is_alive()
    workers.kill_with_children(process)
    child = int((tmp_path / 'child').read_text())
    for _ in range(500):
        state = Path(f'/proc/{child}/stat')
        if not state.exists() or state.read_text().split()[2] == 'Z':
            return
        threading.Event().wait(0.01)
    pytest.fail('the child lives on')


def _parent(file: str) -> None:
    import subprocess  # pylint: disable=import-outside-toplevel
    with subprocess.Popen(['sleep', '60']) as child:
        Path(file).write_text(str(child.pid))
