"""The format `onnx`: a graph for onnxruntime and other runtimes, with any number of images."""
import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lth.errors import LthError, excerpt
from lth.exports.export_format import EXPORT_FORMATS, Exported, Loaded
from lth.exports.exported_network import ExportedNetwork

_FILE = 'model.onnx'
_PACKAGES = ('onnx', 'onnxruntime', 'onnxscript')
_USAGE = '''
import onnxruntime

session = onnxruntime.InferenceSession('model.onnx')
(logits,) = session.run(['logits'], {'images': images})  # a numpy array of float32
'''


@EXPORT_FORMATS.register('onnx')
def onnx(network: ExportedNetwork) -> Exported:
    """An ONNX graph with pruned weights at 0, checked in onnxruntime; it needs the extra onnx."""

    missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise LthError(f'The format onnx needs the package {missing[0]}. Install it with: pip install \'lth[onnx]\'')
    return Exported({_FILE: _encode(network)}, _load, _USAGE)


def _encode(network: ExportedNetwork) -> bytes:
    """The graph, whose batch size is free. LthError if torch cannot export an operation."""

    batch = torch.export.Dim('batch')
    try:
        with _quiet():
            program = torch.onnx.export(
                network.fresh_module(), (network.example(),), dynamo=True, input_names=['images'],
                output_names=['logits'], dynamic_shapes=({0: batch},), verbose=False)
    except torch.onnx.OnnxExporterError as error:
        raise LthError(f'{network.name} cannot be exported to ONNX: {_cause(error)}. The formats torch, csr and '
                       'compacted do not need ONNX.') from None
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def _cause(error: BaseException) -> str:
    """The first exception of a chain, which names the operator or the place in the code."""

    while error.__cause__ is not None:
        error = error.__cause__
    return excerpt(error)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporter prints, logs and warns of. What matters is in its exceptions."""

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()),
              warnings.catch_warnings()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)


def _load(folder: Path) -> Loaded:
    """The graph in onnxruntime, with as many threads as torch has here."""

    import onnxruntime  # pylint: disable=import-outside-toplevel # an optional extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session: Any = onnxruntime.InferenceSession(folder / _FILE, options, providers=['CPUExecutionProvider'])
    except RuntimeError as error:  # the base class of its exceptions
        raise LthError(f'onnxruntime {onnxruntime.__version__} cannot run the graph: {excerpt(error)}. Install a newer '
                       "version, or choose another format.") from None

    def logits(images: Tensor) -> Tensor:
        (result,) = session.run(['logits'], {'images': images.numpy()})
        return torch.from_numpy(result)
    return Loaded(logits)
