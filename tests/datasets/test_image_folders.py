"""Folders of images: listed, decoded once or streamed, prepared for FFCV."""
import importlib.util
import json
import os
import shutil
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image

from lth.datasets import DATASETS, ffcv_reader, ffcv_writer, image_decoding, image_folders
from lth.errors import LthError
from lth.recipes.schema import DataSettings
from tests.conftest import Result

FFCV = pytest.mark.skipif(
    importlib.util.find_spec('ffcv') is None, reason="FFCV is not installed: pip install '.[ffcv]'")
MEMORY, STREAM = (DataSettings(name='folder', storage=storage) for storage in ('memory', 'stream'))


def save_images(folder: Path, count: int, *, side: int = 16, mode: str = 'RGB', suffix: str = 'jpg') -> None:
    """Save smooth images, which JPEG changes little, in classes a, b and c."""

    for number in range(count):
        class_folder = folder / 'abc'[number % 3]
        class_folder.mkdir(parents=True, exist_ok=True)
        ramp = Image.linear_gradient('L').resize((side, side)).rotate(90 * number)
        if mode == 'RGB':
            ramp = Image.merge('RGB', [ramp, ramp.rotate(90), Image.new('L', ramp.size, 20 * number % 256)])
        ramp.save(class_folder / f'{number:03d}.{suffix}')


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """30 training and 9 test images."""

    save_images(tmp_path / 'flowers' / 'train', 30)
    save_images(tmp_path / 'flowers' / 'test', 9)
    return tmp_path / 'flowers'


def test_a_folders_source_has_its_classes_counts_and_shape(flowers):
    source = DATASETS.find(f'folder:{flowers}')
    assert (source.shape, source.classes, source.image_counts) == ((3, 16, 16), 3, (30, 9))
    assert source.settings == {'validation': 3}


def test_images_equal_pillows_and_are_ordered_by_class_and_name(flowers, tmp_path):
    data = DATASETS.find(f'folder:{flowers}').read(tmp_path, MEMORY)
    assert data.train.labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10 and data.reader == 'files'
    with Image.open(flowers / 'train' / 'b' / '004.jpg') as image:
        expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(data.train.images[11], expected)
    pixels = data.train.images.double() / 255
    assert data.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-5)
    assert data.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-5)


def test_without_a_test_folder_the_same_sixth_of_the_images_is_always_the_test_set(tmp_path):
    save_images(tmp_path / 'all', 30)
    (tmp_path / 'all' / 'a' / 'Thumbs.db').write_text('no image')
    image_folders.source.cache_clear()
    data = [DATASETS.find(f'folder:{tmp_path}/all').read(tmp_path, MEMORY) for _ in range(2)]
    assert (len(data[0].train.labels), len(data[0].test.labels)) == (25, 5)
    assert torch.equal(data[0].test.images, data[1].test.images)


def test_images_of_any_size_are_resized_to_cover_a_square_and_cropped_in_the_center(tmp_path):
    wide = Image.new('RGB', (40, 20), (255, 0, 0))
    wide.paste((0, 0, 255), (10, 0, 30, 20))
    wide.save(tmp_path / 'wide.png')
    image = image_decoding.decode(tmp_path / 'wide.png', (3, 10, 10))
    assert image[2, 1:-1, 1:-1].min() == 255 and image[0, 1:-1, 1:-1].max() == 0


@pytest.mark.parametrize(('mode', 'channels'), [('L', 1), ('RGB', 3)])
def test_folders_of_gray_images_have_one_channel_unless_data_channels_is_3(tmp_path, mode, channels):
    save_images(tmp_path / 'all', 12, mode=mode, suffix='png')
    source = DATASETS.find(f'folder:{tmp_path}/all')
    assert source.shape == (channels, 16, 16)
    assert source.read(tmp_path, MEMORY.model_copy(update={'channels': 3})).shape == (3, 16, 16)


def test_images_are_decoded_once_and_again_if_a_file_changes(flowers, tmp_path, monkeypatch):
    source = DATASETS.find(f'folder:{flowers}')
    first = source.read(tmp_path, MEMORY)
    monkeypatch.setattr(image_decoding, 'decode', lambda *_: pytest.fail('decoded again'))
    assert torch.equal(source.read(tmp_path, MEMORY).train.images, first.train.images)
    monkeypatch.undo()
    Image.new('RGB', (16, 16)).save(flowers / 'train' / 'a' / '000.jpg')
    assert source.read(tmp_path, MEMORY).train.images[0].max() == 0


def test_a_corrupt_cache_of_decoded_images_is_written_again(flowers, tmp_path):
    source = DATASETS.find(f'folder:{flowers}')
    first = source.read(tmp_path, MEMORY)
    for file in list((tmp_path / 'decoded').iterdir()):
        file.with_name(f'{file.name}.20757.partial').write_bytes(b'of a process that was killed')
        file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(source.read(tmp_path, MEMORY).train.images, first.train.images)
    assert not list(tmp_path.rglob('*.partial'))


def test_images_are_read_even_if_the_cache_cannot_be_written(flowers, tmp_path):
    (tmp_path / 'file').write_text('')
    assert len(DATASETS.find(f'folder:{flowers}').read(tmp_path / 'file', MEMORY).train.labels) == 30


@pytest.mark.parametrize('settings', [MEMORY, STREAM], ids=['memory', 'stream'])
def test_corrupt_images_are_listed_in_an_error_or_skipped(flowers, tmp_path, settings):
    (flowers / 'train' / 'a' / '000.jpg').write_bytes(b'no image')
    (flowers / 'train' / 'c' / '029.jpg').write_bytes((flowers / 'train' / 'c' / '029.jpg').read_bytes()[:300])
    source = DATASETS.find(f'folder:{flowers}')
    says = 'of 30 images cannot be decoded: .*train/a/000.jpg.*data.undecodable=skip'
    with pytest.raises(LthError, match=says):
        source.read(tmp_path, settings)
    data = source.read(tmp_path, settings.model_copy(update={'undecodable': 'skip'}))
    assert data.train.labels.bincount().tolist() == [9, 10, 9] and data.train.images.shape == (28, 3, 16, 16)


@pytest.mark.parametrize(('change', 'says'), [
    (lambda path: (path / 'test' / 'c').rename(path / 'test' / 'd'),
     'the classes of train and test differ: c only in train, d only in test'),
    (lambda path: [file.unlink() for file in (path / 'test').rglob('*.jpg')], 'test has 0 subfolders with images'),
    (lambda path: [shutil.rmtree(path / 'train' / name) for name in 'ab'], 'train has 1 subfolders with images')])
def test_a_folder_with_missing_images_or_classes_is_an_error(flowers, change: Callable[[Path], object], says):
    change(flowers)
    with pytest.raises(LthError, match=says):
        DATASETS.find(f'folder:{flowers}')


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(LthError, match="nowhere' cannot be read: No such file or directory"):
        DATASETS.find(f'folder:{tmp_path}/nowhere')


def test_a_stream_yields_the_same_images_as_memory_in_the_requested_order(flowers, tmp_path):
    source = DATASETS.find(f'folder:{flowers}')
    memory, stream = source.read(tmp_path, MEMORY), source.read(tmp_path, STREAM)
    rows = torch.randperm(30)[:25]
    batches = [batch.clone() for batch in stream.train.images.batches(rows, 8)]
    assert [len(batch) for batch in batches] == [8, 8, 8, 1]
    assert torch.equal(torch.cat(batches), memory.train.images[rows]) and stream.mean == memory.mean
    assert 'FFCV' in stream.note and stream.reader == 'files'


def test_16_bit_images_are_scaled_to_8_bits_and_floating_point_images_are_refused(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / 'deep.png')
    image = image_decoding.decode(tmp_path / 'deep.png', (1, 16, 16))
    assert image.flatten().tolist() == list(range(256))
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / 'float.tiff')
    assert isinstance(image_decoding.decode(tmp_path / 'float.tiff', (1, 16, 16)), image_decoding.Undecodable)


def test_a_file_that_cannot_be_read_is_an_error_and_not_skipped(tmp_path):
    (tmp_path / 'folder.jpg').mkdir()
    with pytest.raises(LthError, match='Cannot read .*folder.jpg: Is a directory'):
        image_decoding.decode(tmp_path / 'folder.jpg', (1, 16, 16))


def test_folders_without_images_are_not_classes(flowers, tmp_path):
    (flowers / 'train' / 'runs').mkdir()
    assert DATASETS.find(f'folder:{flowers}').classes == 3


def png(width: int, height: int) -> bytes:
    """A black image of this size, which takes no memory to write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))
    compressor = zlib.compressobj(1)
    rows = b''.join(compressor.compress(bytes(1 + width)) for _ in range(height)) + compressor.flush()
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', rows) + chunk(b'IEND', b'')


@pytest.mark.parametrize('settings', [MEMORY, STREAM], ids=['memory', 'stream'])
@pytest.mark.parametrize(('make', 'says'), [
    (os.mkfifo, 'a named pipe, not a file'), (lambda path: path.symlink_to('/dev/zero'), 'a device, not a file'),
    (lambda path: socket.socket(socket.AF_UNIX).bind(os.path.relpath(path)), 'a socket, not a file'),
    (lambda path: path.symlink_to('nowhere'), 'a link to nothing'),
    (lambda path: path.symlink_to(path.name), 'a link to nothing'),
    (lambda path: path.write_bytes(b''), 'no image'),
    (lambda path: path.write_bytes(b'%!PS-Adobe-3.0\n'), 'no image'),
    (lambda path: path.write_bytes(png(1, 300_000)), 'resized, it would have 16 × 4,800,000 pixels, .*'),
    (lambda path: path.write_bytes(png(9000, 4000)), 'it has 9,000 × 4,000 pixels, more than 33,554,432'),
    (lambda path: path.write_bytes(png(20_000, 10_000)), 'it has more than 33,554,432 pixels')],
    ids=['pipe', 'device', 'socket', 'link', 'loop', 'empty', 'eps', 'thin', 'large', 'bomb'])
def test_special_files_and_images_that_are_too_large_are_refused_or_skipped(flowers, tmp_path, make, says, settings):
    make(flowers / 'train' / 'a' / '~last.png')
    source = DATASETS.find(f'folder:{flowers}')
    message = rf'1 of 31 images cannot be decoded: .*~last.png \({says}\).*undecodable=skip'
    with pytest.raises(LthError, match=message):
        source.read(tmp_path, settings)
    data = source.read(tmp_path, settings.model_copy(update={'undecodable': 'skip'}))
    assert data.train.labels.bincount().tolist() == [10, 10, 10]


@pytest.mark.parametrize('settings', [MEMORY, STREAM], ids=['memory', 'stream'])
@pytest.mark.parametrize('classes', ['test/b', 'train/c', 'test/*'])
def test_a_class_without_an_image_that_can_be_decoded_is_an_error_also_if_images_are_skipped(
        flowers, tmp_path, settings, classes):
    for file in flowers.glob(f'{classes}/*.jpg'):
        file.write_bytes(b'no image')
    source = DATASETS.find(f'folder:{flowers}')
    with pytest.raises(LthError, match=r'No image of class [0-2] can be decoded, such as .*\.jpg. Replace its images'):
        source.read(tmp_path, settings.model_copy(update={'undecodable': 'skip'}))


def test_names_that_are_not_utf_8_are_names_like_others(flowers, tmp_path, lth):
    for part in ('train', 'test'):
        (flowers / part / 'c').rename(os.fsdecode(os.fsencode(flowers / part) + b'/\xff'))
    Path(os.fsdecode(os.fsencode(flowers / 'train' / 'a') + b'/\xfe.png')).write_bytes(b'no image')
    result = run(lth, flowers, 'r', '-i', '0')
    assert result.code == 2 and '1 of 31 images cannot be decoded: ' in result.err
    assert run(lth, flowers, 'r', '-i', '0', '--set', 'data.undecodable=skip').code == 0
    with pytest.raises(LthError, match=r"'folder:x\\udcff' is not UTF-8, so it cannot be written into a recipe"):
        DATASETS.find(os.fsdecode(b'folder:x\xff'))


def test_only_folders_of_images_are_classes_and_what_is_not_used_is_reported(flowers, tmp_path):
    image = (flowers / 'train' / 'a' / '000.jpg').read_bytes()
    for name in ('train/.ipynb_checkpoints/0.jpg', 'train/__MACOSX/0.jpg', 'train/a/._000.jpg', 'train/runs/r/plot.png',
                 'train/outside.jpg', 'masks/0.jpg', 'val/a/0.jpg'):
        (flowers / name).parent.mkdir(parents=True, exist_ok=True)
        (flowers / name).write_bytes(image)
    (flowers / 'train' / 'runs' / 'r' / 'recipe.yaml').write_text('')
    (flowers / 'train' / 'd').mkdir()
    data = DATASETS.find(f'folder:{flowers}').read(tmp_path, MEMORY)
    assert data.train.labels.bincount().tolist() == [10, 10, 10]
    assert data.note == (
        f'3 classes in {flowers}/train: a, b, c. Not used: {flowers}/masks, {flowers}/val, '
        f'{flowers}/train/outside.jpg, {flowers}/train/d (no images), {flowers}/train/runs (no images).')


@pytest.mark.parametrize(('train', 'test'), [('Train', 'Test'), ('training', 'testing'), ('TRAIN', 'Valid')])
def test_training_and_test_images_are_found_under_their_usual_names(flowers, train, test):
    (flowers / 'train').rename(flowers / train)
    (flowers / 'test').rename(flowers / test)
    assert DATASETS.find(f'folder:{flowers}').image_counts == (30, 9)


def test_test_images_without_training_images_are_an_error(flowers):
    (flowers / 'train').rename(flowers / 'a')
    with pytest.raises(LthError, match='has test images in test, but no folder train'):
        DATASETS.find(f'folder:{flowers}')


def test_skipped_images_do_not_count_for_the_iterations_of_an_epoch(flowers, lth):
    for number in range(9):
        (flowers / 'train' / 'abc'[number % 3] / f'{number:03d}.jpg').write_bytes(b'no image')
    assert run(lth, flowers, 'fewer', '--set', 'data.undecodable=skip', '-i', '0').code == 0
    rows = Path('runs/fewer/seed-0/round-00/metrics.jsonl').read_text().splitlines()
    assert json.loads(rows[-1])['iteration'] == 2 * ((21 - 3) // 6)


@pytest.mark.parametrize(('setting', 'says'), [
    ('data.storage=stream', 'data.storage: digits does not support stream. Choose one of auto, memory'),
    ('data.undecodable=skip', 'data.undecodable: digits has no image files to skip')])
def test_settings_that_a_data_set_does_not_support_are_refused(lth, setting, says):
    result = lth('find-ticket', 'lenet-5', 'digits', '--dry-run', '--set', 'data.size=28', '--set', setting)
    assert result.code == 2 and says in ' '.join(result.err.split())


def run(lth: Callable[..., Result], flowers: Path, name: str, *more: str) -> Result:
    return lth('find-ticket', 'conv-2', f'folder:{flowers}', '-e', '2', '-b', '6', '--run', name, *more,
               *(() if '-i' in more else ('-i', '1')))


def test_training_on_streamed_files_equals_training_in_memory_bit_for_bit(flowers, lth):
    for storage in ('memory', 'stream'):
        result = run(lth, flowers, storage, '--set', f'data.storage={storage}', '--set', 'data.crop=2', '--set',
                     'data.flip=true', '--set', 'data.resolution=12', '--set', 'training.measure_every=1 iterations')
        assert result.code == 0, result.err
        assert ('decoded file by file' in result.err) == (storage == 'stream')
    memory, stream = (Path('runs', name, 'seed-0', 'round-01') for name in ('memory', 'stream'))
    # The headers differ, since the setting is a part of the recipe.
    tensors = [safetensors.numpy.load_file(folder / 'trained.safetensors') for folder in (memory, stream)]
    assert all((tensor == tensors[1][name]).all() for name, tensor in tensors[0].items())
    assert (memory / 'metrics.jsonl').read_text() == (stream / 'metrics.jsonl').read_text()


STREAMED = ('--set', 'data.storage=stream', '--set', 'data.undecodable=skip')


@pytest.fixture(scope='module')
def prepared_once(tmp_path_factory) -> Path:
    """A prepared folder of 30 training images, one of them corrupt, and 9 test images."""

    path: Path = tmp_path_factory.mktemp('once') / 'flowers'
    save_images(path / 'train', 30)
    save_images(path / 'test', 9)
    (path / 'train' / 'b' / '001.jpg').write_bytes(b'no image')
    prepare = image_folders.source(str(path)).prepare
    assert prepare is not None
    progress: list[tuple[int, int]] = []
    with pytest.raises(LthError, match='1 of 39 images cannot be decoded: .*train/b/001.jpg'):
        prepare(path, STREAM, lambda *counts: progress.append(counts))
    assert progress[-1] == (39, 39)
    assert sorted(file.name for file in path.iterdir()) == ['test', 'train']
    files = prepare(path, STREAM.model_copy(update={'undecodable': 'skip'}), lambda *_: None)
    assert [file.name for file in files] == [
        'train-3x16x16.beton', 'test-3x16x16.beton', 'prepared-3x16x16.json']
    assert sorted(file.name for file in path.iterdir()) == sorted(['test', 'train', *(file.name for file in files)])
    return path


@pytest.fixture
def ready(prepared_once: Path, tmp_path: Path) -> Path:
    """A copy of the prepared folder."""

    image_folders.source.cache_clear()
    return Path(shutil.copytree(prepared_once, tmp_path / 'flowers', copy_function=shutil.copy2))


@FFCV
@pytest.mark.timeout(200)
@pytest.mark.slow
@pytest.mark.xdist_group('ffcv')
def test_ffcv_yields_the_same_labels_in_the_same_order_and_nearly_the_same_pixels(ready, tmp_path):
    source = DATASETS.find(f'folder:{ready}')
    memory, stream = (source.read(tmp_path, settings.model_copy(update={'undecodable': 'skip'}))
                      for settings in (MEMORY, STREAM))
    assert stream.reader == 'ffcv' and torch.equal(stream.train.labels, memory.train.labels)
    rows = torch.randperm(29)
    for _ in range(2):
        images = torch.cat([batch.clone() for batch in stream.train.images.batches(rows, 8)])
        assert (images.float() - memory.train.images[rows].float()).abs().mean() < 4
    first = next(stream.train.images.batches(rows, 8)).clone()  # closed after one batch
    assert torch.equal(first, images[:8])


@FFCV
@pytest.mark.timeout(200)
@pytest.mark.slow
@pytest.mark.xdist_group('ffcv')
def test_ffcv_does_not_change_the_number_of_torchs_threads(ready, tmp_path):
    data = DATASETS.find(f'folder:{ready}').read(tmp_path, STREAM.model_copy(update={'undecodable': 'skip'}))
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            list(data.train.images.batches(torch.arange(9), 4))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@FFCV
@pytest.mark.timeout(250)
@pytest.mark.slow
@pytest.mark.xdist_group('ffcv')
def test_training_with_ffcv_gives_the_same_numbers_alone_or_next_to_another_seed_and_in_evaluate(ready, lth):
    once = run(lth, ready, 'once', *STREAMED, '--set', 'data.resized_crop=0.5')
    assert once.code == 0 and 'streamed by FFCV' in once.err, once.err
    both = run(lth, ready, 'both', *STREAMED, '--set', 'data.resized_crop=0.5', '--seeds', '0-1')
    assert both.code == 0, both.err
    weights = [Path('runs', name, 'seed-0', 'round-01', 'trained.safetensors') for name in ('once', 'both')]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    measured = lth('evaluate', 'once', '--json')
    rows = json.loads(measured.out)['evaluations']
    assert all(row['test_accuracy_percent'] == row['recorded_accuracy_percent'] for row in rows)
    (ready / 'prepared-3x16x16.json').unlink()
    other = run(lth, ready, 'once', *STREAMED, '--set', 'data.resized_crop=0.5', '--seeds', '0-1')
    assert other.code == 2 and 'started with another image reader (reader: ffcv / files)' in other.err


@pytest.mark.xdist_group('ffcv')
@FFCV
def test_images_that_could_not_be_prepared_are_an_error_unless_they_are_skipped(ready, tmp_path):
    with pytest.raises(LthError, match='1 images could not be decoded when they were prepared. Train without them'):
        DATASETS.find(f'folder:{ready}').read(tmp_path, STREAM)


@pytest.mark.xdist_group('ffcv')
@pytest.mark.parametrize(('change', 'says'), [
    (lambda path: (path / 'train-3x16x16.beton').write_bytes(b'corrupt'), 'train-3x16x16.beton is corrupt'),
    (lambda path: (path / 'train' / 'a' / '000.jpg').unlink(), 'out of date: image files were changed'),
    (lambda path: (path / 'train' / 'a' / '000.jpg').rename(path / 'train' / 'b' / '000.jpg'), 'out of date'),
    (lambda path: Image.new('RGB', (9, 9)).save(path / 'test' / 'a' / '000.jpg'), 'out of date')])
@FFCV
def test_prepared_files_that_are_corrupt_or_out_of_date_are_refused(ready, tmp_path, change, says):
    change(ready)
    image_folders.source.cache_clear()
    with pytest.raises(LthError, match=says):
        DATASETS.find(f'folder:{ready}').read(tmp_path, STREAM.model_copy(update={'undecodable': 'skip'}))


@pytest.mark.xdist_group('ffcv')
@FFCV
def test_a_failed_prepare_leaves_the_previous_files_unchanged(ready, lth, monkeypatch):
    monkeypatch.setattr(ffcv_writer, '_write_in_child', _fail)
    assert lth('prepare', f'folder:{ready}').code == 2
    assert len([file for file in ready.iterdir() if file.is_file()]) == 3


@FFCV
@pytest.mark.timeout(200)
@pytest.mark.slow
@pytest.mark.xdist_group('ffcv')
def test_an_ffcv_reader_that_fails_or_hangs_is_an_error(ready, tmp_path, monkeypatch):
    stream = DATASETS.find(f'folder:{ready}').read(tmp_path, STREAM.model_copy(update={'undecodable': 'skip'}))
    iterator = pytest.importorskip('ffcv.loader.epoch_iterator').EpochIterator

    def fail(*_arguments: object) -> None:
        raise RuntimeError
    monkeypatch.setattr(threading, 'excepthook', lambda _: None)
    monkeypatch.setattr(iterator, 'run_pipeline', fail)
    with pytest.raises(LthError, match='FFCV cannot read .*train-3x16x16.beton: its thread failed'):
        next(stream.train.images.batches(torch.arange(8), 8))
    monkeypatch.setattr(iterator, 'run_pipeline', lambda *_: threading.Event().wait(4))
    monkeypatch.setattr(ffcv_reader, '_TIMEOUT_SECONDS', 2)
    with pytest.raises(LthError, match='its thread returned no batch for 2 s'):
        next(stream.train.images.batches(torch.arange(8), 8))


@FFCV
@pytest.mark.timeout(100)
@pytest.mark.slow
@pytest.mark.xdist_group('ffcv')
def test_an_ffcv_writer_that_hangs_or_fails_is_an_error_and_leaves_no_files(flowers, tmp_path, monkeypatch):
    source = image_folders.source(str(flowers))
    with monkeypatch.context() as patched:
        patched.setattr(ffcv_writer, '_TIMEOUT_SECONDS', 3)
        patched.setattr(ffcv_writer, '_write_in_child', _hang)
        with pytest.raises(LthError, match='FFCV has written no image for 3 s, after 0 of 39'):
            source.prepare(tmp_path, STREAM, lambda *_: None)
    monkeypatch.setattr(ffcv_writer, '_write_in_child', _fail)
    with pytest.raises(LthError, match='its process ended with exit code 7 after 0 of 39 images. last line'):
        source.prepare(tmp_path, STREAM, lambda *_: None)
    assert sorted(path.name for path in flowers.iterdir()) == ['test', 'train']


def _hang(*_arguments: object) -> None:
    threading.Event().wait()


def _fail(_parts: object, log: str, *_arguments: object) -> None:
    Path(log).write_text('first line\nlast line\n')
    raise SystemExit(7)


def test_prepare_without_ffcv_says_how_to_install_it(flowers, lth, monkeypatch):
    monkeypatch.setattr(ffcv_writer, 'is_installed', lambda: False)
    result = lth('prepare', f'folder:{flowers}')
    assert result.code == 2 and "FFCV is not installed: pip install 'lth[ffcv]'" in result.err


@pytest.mark.parametrize(('name', 'says'), [
    ('digits', 'digits is read into memory, so it need not be prepared'),
    ('imagenet', 'imagenet/train has 0 images in 0 subfolders, but ImageNet has 1281167 in 1000. Download it from')])
def test_prepare_refuses_data_sets_in_memory_and_missing_images(name, says, lth):
    result = lth('prepare', name, './datasets')
    assert result.code == 2 and says in ' '.join(result.err.split()) and not Path('datasets').exists()


def test_a_class_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    # Root, as which tests may run, can read all folders: the system's refusal is simulated.
    def walk(path, onerror):
        onerror(PermissionError(13, 'Permission denied', str(path)))
        return iter(())
    (tmp_path / 'images' / 'a').mkdir(parents=True)
    monkeypatch.setattr(image_folders.os, 'walk', walk)
    with pytest.raises(LthError, match="images/a' cannot be read: Permission denied. Change its permissions"):
        image_folders.source(str(tmp_path / 'images')).read(tmp_path, DataSettings(name='folder:images'))
