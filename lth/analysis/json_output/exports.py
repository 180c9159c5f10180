"""The output of `lth export`."""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from lth.analysis.json_output.values import percent

if TYPE_CHECKING:
    from lth.exports import latency
    from lth.exports.export import Export


@dataclass(frozen=True, kw_only=True)
class ExportLatency:
    """The median latency for a batch of images, in milliseconds, and whether the export is faster than the dense
    network, measured in turns; null if the turns do not agree.
    """

    batch: int
    milliseconds: float
    dense_milliseconds: float
    times_as_fast: float
    faster: bool | None

    @classmethod
    def of(cls, measured: 'latency.Latency') -> Self:
        """The latency of one batch size."""

        return cls(batch=measured.batch, milliseconds=measured.milliseconds,
                   dense_milliseconds=measured.dense_milliseconds, times_as_fast=measured.times_as_fast,
                   faster=measured.faster)


@dataclass(frozen=True, kw_only=True)
class ExportCheck:
    """How the export was compared with its network: the largest difference of logits and the largest logit."""

    inputs: Literal['test images', 'random inputs']
    images: int
    precision: Literal['float32', 'float64', 'float32 against float64']
    difference: float
    largest_logit: float
    float32_difference: float


@dataclass(frozen=True, kw_only=True)
class ExportReport:  # pylint: disable=too-many-instance-attributes # one for each field of the output
    """An exported network: what it is, how it was checked, its size and latency. `details` are those of the format."""

    folder: Path
    format: str
    run: Path
    seed: int
    round: int
    weights: Literal['trained', 'ticket']
    kept: int
    density_percent: float
    files: list[str]
    check: ExportCheck
    bytes: int
    dense_bytes: int
    threads: int
    latencies: list[ExportLatency]
    details: dict[str, Any]
    notes: list[str]

    @classmethod
    def of(cls, export: 'Export') -> Self:
        """The output for an export."""

        network, compared = export.network, export.comparison
        check = ExportCheck(
            inputs=export.inputs.kind, images=compared.images, precision=compared.precision,
            difference=compared.difference, largest_logit=compared.largest,
            float32_difference=compared.single_difference)
        return cls(
            folder=export.folder, format=export.format, run=network.run.folder, seed=network.seed, round=network.round,
            weights=network.weights, kept=network.record.kept, density_percent=percent(network.record.density),
            files=list(export.exported.files), check=check, bytes=export.size, dense_bytes=export.dense_size,
            threads=export.threads, latencies=list(map(ExportLatency.of, export.latencies)),
            details=dict(export.exported.details), notes=export.notes)
