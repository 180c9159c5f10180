"""What a budget makes smaller than the protocol of the paper, in words."""
from collections.abc import Iterator, Mapping

from lth.experiments.grid import GridRun


def scale_notes(full: Mapping[str, GridRun], runs: Mapping[str, GridRun], seeds: int, full_seeds: int) -> list[str]:
    """A phrase for each difference between the runs and those of the paper's protocol."""

    notes = [] if seeds == full_seeds else [f'{seeds} seeds, not {full_seeds}']
    for name, run in runs.items():
        notes += [note for note in _differences(full[name], run) if note not in notes]
    return notes


def _differences(full: GridRun, run: GridRun) -> Iterator[str]:
    for kind in ('model', 'dataset'):
        if getattr(full, kind) != getattr(run, kind):
            yield f'{kind} {getattr(run, kind)}, not {getattr(full, kind)}'
    for key in sorted({*full.settings, *run.settings}):
        own, other = run.settings.get(key), full.settings.get(key)
        if own != other:
            yield f'{key} {own}, not {"that of the recipe" if other is None else other}'
    for control, draws in run.controls.items():
        if draws != full.controls[control]:
            yield f'{control}: draws {draws}, not {full.controls[control]}'
