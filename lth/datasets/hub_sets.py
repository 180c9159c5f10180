"""Data sets of the Hugging Face Hub, or in a local folder, that the package `datasets` reads: `hf:OWNER/NAME`.

Options follow the name: `hf:uoft-cs/cifar100,label=fine_label`. `datasets` is an optional package (the extra
`hf-data`). It runs no code of data sets, and images are decoded by lth. Files of the Hub are cached where `datasets`
caches them.
"""
import contextlib
import functools
import logging
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lth.datasets import arrays, hub_columns, image_decoding, pil_images
from lth.datasets.hub_columns import Columns
from lth.datasets.resizing import make_dataset
from lth.datasets.source import Dataset, Shape, Source, Split, resized_shape
from lth.errors import ENVIRONMENT_ERROR, LthError, describe, excerpt, quote
from lth.recipes.schema import DataSettings
from lth.registry import user_code
from lth.system import lazy_import

hub = lazy_import.module('datasets')

PREFIX = 'hf:'
_OPTIONS = ('config', 'revision', 'train', 'test', 'image', 'label')
# Larger images are stored with this side unless data.size says otherwise.
_LARGEST_SIDE = 224
_TEST_NAMES = ('test', 'validation', 'valid', 'val')


class HubName(NamedTuple):
    """The parts of a name: OWNER/NAME or the path of a local folder, and the options that follow it."""

    path: str
    options: dict[str, str]

    @property
    def local(self) -> Path | None:
        """The local folder, None for a name on the Hub."""

        return Path(self.path).expanduser() if self.path.startswith(('.', '/', '~')) else None

    def __str__(self) -> str:
        return PREFIX + ','.join([self.path, *(f'{key}={value}' for key, value in self.options.items())])


class _Parts(NamedTuple):
    """Training and test images as `datasets` has them, and a note on the split that the test images are."""

    name: HubName
    train: Any
    test: Any
    columns: Columns
    note: str


@functools.cache
def source(text: str) -> Source:
    """The source of a name without its prefix. Missing files are downloaded; labels and the first image are read."""

    name = _parse(text)
    parts = _open(name)
    train, test = (_labels(parts, part) for part in ('train', 'test'))
    classes = parts.columns.classes or int(max(train.max(), test.max())) + 1
    for part, labels in (('training', train), ('test', test)):
        if labels.max() >= classes:
            raise LthError(f'{name}: a label of the {part} images is {int(labels.max())}, and the data set declares '
                           f'{classes} classes.')
    return Source(f'images of {name}', _first_shape(parts), classes, (len(train), len(test)),
                  partial(_read, parts=parts), {'validation': max(1, len(train) // 10)})


def _parse(text: str) -> HubName:
    """The parts of OWNER/NAME,KEY=VALUE,…; LthError for another form."""

    path, *words = text.split(',')
    name = HubName(path, _options(text, path, words))
    if name.local is None and (path.count('/') != 1 or not all(path.split('/'))):
        raise LthError(f'{PREFIX}{text}: {quote(path)} is not the name of a data set. Write hf:OWNER/NAME, such as '
                       'hf:ylecun/mnist, or the path of a local folder, hf:./FOLDER.')
    if name.local is None and Path(path).exists():
        raise LthError(f'{PREFIX}{text}: {path} is also a local folder, and it is unclear which of the two is meant. '
                       f'Write hf:./{path} for the folder, or run the command elsewhere.')
    return name


def _options(text: str, path: str, words: Sequence[str]) -> dict[str, str]:
    options = {}
    for word in words:
        key, _, value = word.partition('=')
        if key not in _OPTIONS or not value or key in options:
            raise LthError(f'{PREFIX}{text}: {quote(word)} is not an option. Options follow the name once each, such '
                           f'as {PREFIX}{path},test=validation: {", ".join(_OPTIONS)}.')
        options[key] = value
    return options


def _open(name: HubName) -> _Parts:
    try:
        found = hub.load_dataset
    except ImportError:
        raise LthError("Data sets of the Hugging Face Hub need the package datasets. Install it with: pip install "
                       "'lth[hf-data]'") from None
    assert found
    with user_code.guard(f'The package datasets, reading {name},'), _quietly():
        train, test, note = _splits(name)
    columns = hub_columns.find(str(name), train.features, name.options)
    if missing := [column for column in columns.names if column not in test.features]:
        raise LthError(f'{name}: the test images have no column {quote(missing[0])}, the training images have it.')
    return _Parts(name, train, test, columns, note)


def _splits(name: HubName) -> tuple[Any, Any, str]:
    """Training and test split, and a note."""

    wanted = name.options.get('train', 'train'), name.options.get('test')
    if name.local and any((name.local / file).is_file() for file in ('dataset_dict.json', 'state.json')):
        known = _saved(name.local)
    else:
        known = _loaded(name)
    test_name = wanted[1] or _test_name(name, known)
    train, test = (_split(name, known, split) for split in (wanted[0], test_name))
    unused = sorted(set(known) - {split.partition('[')[0] for split in (wanted[0], test_name)})
    unused_note = (f'Splits that are not used: {", ".join(unused)}. Validation images are taken from the training '
                   'images.')
    test_note = f'The test images are the split {test_name}, as there is no split test.'
    notes = [test_note] * (wanted[1] is None and test_name != 'test') + [unused_note] * bool(unused)
    return train, test, ' '.join(notes)


def _test_name(name: HubName, known: Collection[str]) -> str:
    """The split of the test images; LthError if there is none."""

    if found := [word for word in _TEST_NAMES if word in known]:
        return found[0]
    raise LthError(f'{name} has no split {" or ".join(_TEST_NAMES[:2])}; its splits are {quote(sorted(known))}. Say '
                   f'what the test images are, such as {PREFIX}{name.path},train=train[:80%],test=train[80%:].')


def _saved(folder: Path) -> dict[str, Any]:
    """The splits of a data set that was written by save_to_disk."""

    saved = hub.load_from_disk(str(folder))
    return dict(saved) if isinstance(saved, dict) else {'train': saved}


def _loaded(name: HubName) -> dict[str, Any]:
    """All splits of a data set of the Hub or in a folder; LthError if it cannot be reached."""

    if name.local and not name.local.is_dir():
        raise LthError(f'{name}: there is no folder {quote(str(name.local))}. Give a folder that the package datasets '
                       'can read, or hf:OWNER/NAME.')
    options = {'revision': name.options['revision']} if 'revision' in name.options else {}
    path = str(name.local) if name.local else name.path
    try:
        return dict(hub.load_dataset(path, name.options.get('config'), **options))
    except ConnectionError as error:
        raise _unreachable(name, error) from None
    except (OSError, ValueError, RuntimeError, hub.exceptions.DatasetsError) as error:
        advice = 'Check its name on huggingface.co/datasets; a configuration is chosen by hf:OWNER/NAME,config=NAME.'
        raise LthError(f'{name} cannot be read by the package datasets: {excerpt(_deepest(error))}. '
                       f'{"Check the files." if name.local else advice}') from None


def _split(name: HubName, known: dict[str, Any], wanted: str) -> Any:
    """A split, or a part of one such as train[:80%]."""

    base, bracket, part = wanted.partition('[')
    if base not in known:
        raise LthError(f'{name} has no split {quote(base)}; its splits are {quote(sorted(known))}. Choose with the '
                       'options train=SPLIT and test=SPLIT.')
    rows = hub_columns.slice_of(str(name), part, len(known[base])) if bracket else range(len(known[base]))
    if not len(rows):  # pylint: disable=use-implicit-booleaness-not-len # a range
        raise LthError(f'{name}: the split {quote(wanted)} has no images.')
    return known[base].select(rows) if bracket else known[base]


def _labels(parts: _Parts, part: str) -> torch.Tensor:
    name = parts.columns.label
    column = getattr(parts, part).select_columns([name]).with_format('numpy')[:][name]
    what = f'{parts.name}, {part} split: the labels in column {quote(name)}'
    if column.dtype.kind == 'i' and column.ndim == 1 and column.min() < 0:
        raise LthError(f'{what} are negative, as in splits that are published without labels. Choose another split '
                       f'with the option {part}=SPLIT.')
    return arrays.make_labels(what, column, len(column))


def _first_shape(parts: _Parts) -> Shape:
    """The shape of the first training image; a square of its shorter side if it is larger than the limit."""

    try:
        image = _open_image(parts, parts.train, 0)
        with image:
            channels, height, width = (1 if pil_images.is_gray(image) else 3), image.height, image.width
    except image_decoding.DECODE_ERRORS as error:
        raise LthError(f'{parts.name}: the first training image cannot be decoded: {describe(error)}.') from None
    side = min(height, width, _LARGEST_SIDE)
    return (channels, height, width) if max(height, width) <= _LARGEST_SIDE else (channels, side, side)


def _read(_folder: Path, settings: DataSettings, *, parts: _Parts) -> Dataset:
    shape = resized_shape(_first_shape(parts), settings)
    train, test = (Split(_images(parts, part, shape), _labels(parts, part)) for part in ('train', 'test'))
    data = make_dataset(train, test)
    return Dataset(data.train, data.test, data.mean, data.std, reader='files', note=parts.note)


def _images(parts: _Parts, part: str, shape: Shape) -> torch.Tensor:
    """All images of a part, uint8 (n, channels, height, width)."""

    rows = getattr(parts, part)
    images = torch.empty(len(rows), *shape, dtype=torch.uint8)
    for row in range(len(rows)):
        try:
            with _open_image(parts, rows, row) as image:
                images[row] = image_decoding.fit(image, shape)
        except image_decoding.DECODE_ERRORS as error:
            raise LthError(f'{parts.name}: image {row} of the {part} split cannot be decoded: {describe(error)}. '
                           'Download the data set again, or leave the image out with a copy of the data set.') from None
    return images


def _open_image(parts: _Parts, rows: Any, row: int) -> Any:
    stored = hub_columns.undecoded(rows, parts.columns.image)[row][parts.columns.image]
    if stored is None or (stored['bytes'] is None and stored['path'] is None):
        raise ValueError('it is missing')
    if stored['bytes'] is None:
        return image_decoding.open_bytes(Path(stored['path']).read_bytes())
    return image_decoding.open_bytes(stored['bytes'])


def _unreachable(name: HubName, error: Exception) -> LthError:
    offline = ' HF_HUB_OFFLINE is set: unset it to download.' if hub.config.HF_HUB_OFFLINE else ''
    return LthError(f'{name} is not in the cache of the package datasets, and the Hub cannot be reached: '
                    f'{excerpt(error)}.{offline} Connect to the network, or give a local copy: hf:./FOLDER.',
                    exit_code=ENVIRONMENT_ERROR)


def _deepest(error: BaseException) -> BaseException:
    """The first cause of an exception, which says more than those that are raised after it."""

    while error.__cause__ is not None:
        error = error.__cause__
    return error


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Print no progress bars and no retries of downloads in this block: errors say what failed."""

    logger = logging.getLogger('huggingface_hub')
    level, shown = logger.level, hub.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    hub.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if shown:
            hub.enable_progress_bars()
