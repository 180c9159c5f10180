"""What an export is, for people without lth (README.txt) and for programs (export.json).

Both have no times, so that equal exports have equal files.
"""
import json
import textwrap
from typing import TYPE_CHECKING, Any

from lth import __version__
from lth.exports.latency import Latency

if TYPE_CHECKING:
    from lth.exports.export import Export

_VERSION = 1
_README = '''{title}
{line}

{origin}

Load it
-------
{usage}
Input and output
----------------
{input}

Checked
-------
{check}

Size
----
{size}

export.json has the same for programs. To verify the files, run: sha256sum -c SHA256SUMS
'''


def describe_files(export: 'Export') -> dict[str, bytes]:
    """README.txt and export.json."""

    facts = json.dumps(_facts(export), indent=2, allow_nan=False, ensure_ascii=False)
    return {'README.txt': _readme(export).encode(), 'export.json': f'{facts}\n'.encode()}


def size_in_words(size: int, dense_size: int) -> str:
    """Two sizes in bytes and their ratio: `1,234 bytes, 8.6% of the dense network (14,321 bytes)`."""

    return f'{size:,} bytes, {100 * size / dense_size:.1f}% of the dense network ({dense_size:,} bytes)'


def check_in_words(export: 'Export') -> str:
    """What was compared, in one sentence."""

    compared = export.comparison
    return (f'On {compared.images:,} {export.inputs.kind} the logits differ from those of the network by at most '
            f'{compared.difference:.2g} ({compared.precision}); the largest logit is {compared.largest:.3g}.')


def latency_in_words(latency: Latency) -> str:
    """One batch size in words."""

    return (f'batch of {latency.batch}: {latency.milliseconds:.3g} ms, dense network {latency.dense_milliseconds:.3g} '
            f'ms: {latency.verdict}')


def _facts(export: 'Export') -> dict[str, Any]:
    """All that is known about an export, in plain types."""

    network, compared = export.network, export.comparison
    record, facts = network.record, network.facts
    return {
        'version': _VERSION, 'lth': __version__, 'format': export.format,
        'run': facts['run'], 'seed': network.seed, 'round': network.round, 'weights': network.weights,
        'model': record.model, 'dataset': record.dataset, 'ticket': record.ticket,
        'test_accuracy': record.test_accuracy if network.weights == 'trained' else None,
        'counts': {'kept': record.kept, 'prunable': record.prunable, 'weights': record.weights,
                   'density': record.density, 'frozen_elsewhere': network.frozen},
        'input': {'shape': list(network.plan.network.shape), 'type': 'float32', **export.inputs.normalization},
        'output': {'classes': network.plan.network.classes,
                   'class_names': list(network.plan.source.class_names) or None},
        'check': {'inputs': export.inputs.kind, **compared._asdict()},
        'size': {'bytes': export.size, 'dense_bytes': export.dense_size},
        'details': dict(export.exported.details), 'notes': export.notes}


def _readme(export: 'Export') -> str:
    network = export.network
    title = f'{network.name} for {network.plan.recipe.data.name}, exported by lth {__version__} as {export.format}'
    notes = [f'Note: {note.rstrip(".")}.' for note in export.notes]
    return _README.format(
        title=title, line='=' * len(title), origin=_wrapped(_origin(export)), usage=export.exported.usage,
        input=_wrapped(_input(export)), check='\n'.join(map(_wrapped, [check_in_words(export), *notes])),
        size=_wrapped(f'{size_in_words(export.size, export.dense_size)}.'))


def _origin(export: 'Export') -> str:
    network, record = export.network, export.network.record
    accuracy = f' Its recorded test accuracy is {100 * record.test_accuracy:.2f}%.'
    when = 'after' if network.weights == 'trained' else 'before'
    return (f'Round {network.round} of seed {network.seed} of the run {network.run.folder.name}, with the weights '
            f'{when} its training. {record.kept:,} of {record.prunable:,} prunable weights are kept '
            f'({100 * record.density:.4g}% of all weights of its layers).{accuracy * (network.weights == "trained")}')


def _input(export: 'Export') -> str:
    network, normalization = export.network, export.inputs.normalization
    shape = ', '.join(map(str, network.plan.network.shape))
    text = (f'Input: images as float32 of shape (B, {shape}): channels, height, width. Pixels of 0 to 255 are divided '
            f'by {normalization["divide_by"]}')
    if normalization['standardized']:
        values = normalization['mean'] and (f'minus {_numbers(normalization["mean"])}, divided by '
                                            f'{_numbers(normalization["std"])}, for each channel')
        text += f', then standardized: {values or "by mean and standard deviation of the training images"}'
    names = network.plan.source.class_names
    classes = f': {", ".join(names)}' if names else ''
    return f'{text}. Output: logits of shape (B, {network.plan.network.classes}), one for each class{classes}.'


def _numbers(values: list[float]) -> str:
    return ', '.join(f'{value:.6g}' for value in values)


def threads_in_words(count: int) -> str:
    """A number of threads: `1 thread`."""

    return f'{count} thread{"s" * (count > 1)}'


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)
