"""Export the network of one round: encode, load again, compare, measure, then write everything at once."""
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from lth.errors import ENVIRONMENT_ERROR, LthError, quote
from lth.experiments import folders
from lth.experiments.run_target import RunTarget
from lth.exports import inputs, latency, same_function
from lth.exports.description import describe_files
from lth.exports.export_format import Exported, Loaded
from lth.exports.exported_network import ExportedNetwork, open_network
from lth.exports.formats import EXPORT_FORMATS
from lth.exports.inputs import Inputs
from lth.exports.latency import Latency
from lth.exports.same_function import Comparison
from lth.runs import integrity
from lth.runs.run_path import RunPath
from lth.runs.removed_weights import Weights
from lth.system import files, temporary_folders, tensor_files
from lth.training.engines.metrics import evaluation_batch_size

# The test images on which an export is compared with its network.
IMAGES = 1_000


@dataclass(frozen=True)
class Export:
    """An export on disk: its folder, format and network, and what was found out about it. `size` is that of its files
    without the description, `dense_size` that of the state_dict of the dense network, in bytes. Latencies were measured
    with `threads` threads.
    """

    folder: Path
    format: str
    network: ExportedNetwork
    exported: Exported
    inputs: Inputs
    comparison: Comparison
    latencies: list[Latency]
    size: int
    dense_size: int
    threads: int

    @property
    def notes(self) -> list[str]:
        """What the user should know."""

        frozen = self.network.frozen
        notes = [*self.exported.notes, *filter(None, [self.inputs.note])]
        if frozen:
            notes.append(f'{frozen:,} pruned weights are frozen at values other than 0 (--mask-0-action of the '
                         'search), with which they are exported')
        if self.comparison.precision != 'float32':
            notes.append(f'In float32 the logits differ by up to {self.comparison.single_difference:.2g}, as rounding '
                         f'adds up over many layers; compared in {self.comparison.precision}, by '
                         f'{self.comparison.difference:.2g}')
        return notes


def export_round(
        path: RunPath, export_format: str, weights: Weights, output: Path | None, target: RunTarget, *,
        images: int = IMAGES) -> Export:
    """Export the round at a path to a new folder, by default RUN-exports/seed-S-round-NN-FORMAT. It computes the same
    logits on `images` test images, or nothing is written. LthError if it does not, if the folder exists, or if the
    network cannot be exported in this format.
    """

    write, name = EXPORT_FORMATS.find(export_format), EXPORT_FORMATS.canonical(export_format)
    network = open_network(path, weights)
    folder = output or _default_folder(network, name)
    refuse_output(folder)
    target.configure_process(torch.device('cpu'))
    read = inputs.read_inputs(network, target.datasets, images)
    exported = write(network)
    with _loaded(exported) as loaded:
        dense = Loaded.of(network.module)
        comparison = same_function.compare(dense, loaded, read.images, evaluation_batch_size(network.plan.network))
        latencies = latency.measure(dense.single, loaded.single, read.images)
    size = sum(map(len, exported.files.values()))
    dense_size = len(tensor_files.encode(network.state_dict(), network.facts))
    export = Export(folder, name, network, exported, read, comparison, latencies, size, dense_size,
                    torch.get_num_threads())
    _write(folder, {**exported.files, **describe_files(export)})
    return export


def refuse_output(folder: Path) -> None:
    """LthError unless a new folder can be made there."""

    if os.path.lexists(folder):
        kind = 'is a folder that exists' if folder.is_dir() else 'is a file'
        raise LthError(f'-o: {quote(str(folder))} {kind}, and an export never replaces anything. Remove it, or give '
                       'the name of a new folder with -o.')
    above = next(parent for parent in (folder.absolute().parent, *folder.absolute().parents) if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise _output_error(folder, f'{above} is not a folder in which files can be written')


def _default_folder(network: ExportedNetwork, name: str) -> Path:
    """RUN-exports/seed-S-round-NN-FORMAT, next to the run."""

    ticket = '-ticket' if network.weights == 'ticket' else ''
    exports = folders.sibling_folder(network.run.folder, 'exports')
    return exports / f'seed-{network.seed}-round-{network.round:02d}{ticket}-{folders.file_name(name)}'


@contextlib.contextmanager
def _loaded(exported: Exported) -> Iterator[Loaded]:
    """The files of an export, loaded from a temporary folder for the block."""

    with temporary_folders.create('lth-export') as folder:
        try:
            for name, content in exported.files.items():
                (folder / name).write_bytes(content)
        except OSError as error:
            raise LthError(f'Cannot write {folder}: {error.strerror or error}. Free some space there, or choose '
                           'another folder for temporary files with TMPDIR.', exit_code=ENVIRONMENT_ERROR) from None
        yield exported.load(folder)


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the folder, or nothing."""

    refuse_output(folder)
    try:
        files.write_new_folder(folder, integrity.with_sums(contents))
    except OSError as error:
        raise _output_error(folder, error.strerror or str(error)) from None


def _output_error(folder: Path, problem: str) -> LthError:
    return LthError(f'-o: cannot write {quote(str(folder))}: {problem}. Choose another folder with -o, or free some '
                    'space.', exit_code=ENVIRONMENT_ERROR)
