"""What `lth bench` prints with --json, in the units of its tables; see lth.analysis.json_output.

Names say the unit: `_percent`, `_us` microseconds, `_mib` mebibytes; `over_X`: times as fast as X, for each network.
"""
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from lth.benchmark import convolutions, mask_selection, step_profile, timing


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """The time of a step of an engine."""

    engine: str
    density_percent: float
    replicates: int
    seeds: int
    threads: int
    ms_per_step: float
    spread_percent: float
    over_baseline: float
    over_expert: float | None
    over_eager: float | None
    over_sparselab: float | None
    over_one_seed: float | None
    peak_mib: float

    @classmethod
    def of(cls, row: 'timing.StepTime') -> Self:
        """A row of the table of times."""

        return cls(
            engine=row.engine, density_percent=100 * row.density, replicates=row.replicates, seeds=row.seeds,
            threads=row.threads, ms_per_step=row.ms_per_step, spread_percent=100 * row.spread,
            over_baseline=row.ratio, over_expert=row.over_expert, over_eager=row.over_eager,
            over_sparselab=row.over_sparselab,
            over_one_seed=row.over_one, peak_mib=row.peak_memory)


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """The output of `lth bench`."""

    model: str
    dataset: str
    batch_size: int
    turns: int
    rows: list[StepTime]


@dataclass(frozen=True, kw_only=True)
class StudyTimes(StepTimes):
    """The output of `lth bench --study`."""

    rounds: int
    steps: int
    baseline_seconds: float
    expert_seconds: float
    estimated_seconds: float
    real_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What the time of an engine's step is spent on."""

    engine: str
    density_percent: float
    replicates: int
    ms_per_step: float
    on_gpu: bool
    kernels: float
    ms_by_kind: dict[str, float]
    memory_limit_percent: float
    arithmetic_limit_percent: float
    limits: str

    @classmethod
    def of(cls, profile: 'step_profile.StepProfile') -> Self:
        """The table of an engine."""

        return cls(
            engine=profile.engine, density_percent=100 * profile.density, replicates=profile.replicates,
            ms_per_step=profile.ms_per_step, on_gpu=profile.on_gpu, kernels=profile.kernels,
            ms_by_kind=profile.ms_by_kind, memory_limit_percent=100 * profile.memory_share,
            arithmetic_limit_percent=100 * profile.arithmetic_share, limits=profile.limits)


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """The output of `lth bench --profile`."""

    model: str
    dataset: str
    batch_size: int
    profiles: list[Profile]


@dataclass(frozen=True, kw_only=True)
class SelectionTime:
    """The time of selecting a mask."""

    scores: str
    weights: int
    seconds: float
    extra_mib: float | None

    @classmethod
    def of(cls, row: 'mask_selection.SelectionTime') -> Self:
        """A row of the table of selections."""

        return cls(scores=row.scores, weights=row.weights, seconds=row.seconds, extra_mib=row.extra_memory)


@dataclass(frozen=True, kw_only=True)
class SelectionTimes:
    """The output of `lth bench --masks`."""

    model: str
    turns: int
    rows: list[SelectionTime]


@dataclass(frozen=True, kw_only=True)
class SweepTime:
    """The output of `lth bench --sweep`."""

    model: str
    dataset: str
    runs: int
    processes: int
    first_seconds: float
    seconds_per_run: float


@dataclass(frozen=True, kw_only=True)
class ConvolutionTime:
    """The time of the convolutions of several seeds by one method."""

    channels: int
    units: int
    side: int
    size: int
    stride: int
    method: str
    forward_us: float
    inputs_us: float
    weights_us: float
    error: float

    @classmethod
    def of(cls, row: 'convolutions.ConvolutionTime') -> Self:
        """A row of the table of convolutions."""

        return cls(**row.layer._asdict(), method=row.method, forward_us=1e6 * row.forward, inputs_us=1e6 * row.inputs,
                   weights_us=1e6 * row.weights, error=row.error)


@dataclass(frozen=True, kw_only=True)
class ConvolutionTimes:
    """The output of `lth bench --convolutions`."""

    images: int
    turns: int
    rows: list[ConvolutionTime]
