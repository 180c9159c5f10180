"""trackio: a local-first tracker of experiments with the call interface of W&B. `trackio show` opens its dashboard.

The run folder is a project of trackio, each round of a seed a run in it. The data are in the folder that trackio
selects: $TRACKIO_DIR, or the cache of Hugging Face.
"""
import contextlib
import io
from pathlib import Path
from typing import Any, Literal

import trackio
from trackio import context_vars

from lth.recipes.flat_settings import flat_settings
from lth.runs.checkpoints import newest_checkpoint
from lth.runs.folder import Run


class TrackioLog:
    """The runs of trackio for the rounds of a run."""

    def __init__(self, run: Run) -> None:
        self._run_folder = run
        self._project = _project(run.folder.resolve())
        self._settings = flat_settings(run.recipe)
        self._runs: dict[tuple[int, int], Any] = {}

    def measured(self, seed: int, number: int, iteration: int, values: dict[str, float]) -> None:
        """Log the values at the iteration."""

        self._run(seed, number).log(values, step=iteration)

    def round_saved(self, seed: int, number: int, settings: dict[str, Any], results: dict[str, float]) -> None:
        """Log the results of the round, and finish its run."""

        run = self._run(seed, number)
        run.log({f'result/{name}': value for name, value in {'density': settings['density'], **results}.items()})
        _finish(run)
        del self._runs[seed, number]

    def close(self) -> None:
        """Finish the runs of rounds that are not complete."""

        for run in self._runs.values():
            _finish(run)
        self._runs.clear()

    def _run(self, seed: int, number: int) -> Any:
        if (seed, number) not in self._runs:
            # A round that continues from a checkpoint continues its run, also if another session started it.
            checkpoint = newest_checkpoint(self._run_folder.checkpoint_folder(seed), number)
            resume: Literal['allow', 'never'] = 'allow' if checkpoint else 'never'
            # Otherwise trackio finishes the run of another seed, which is still trained.
            context_vars.current_run.set(None)
            with contextlib.redirect_stdout(io.StringIO()):
                self._runs[seed, number] = trackio.init(
                    project=self._project, name=f'seed-{seed}/round-{number:02d}', group=f'seed-{seed}',
                    config={**self._settings, 'seed': seed, 'round': number}, resume=resume, embed=False,
                    auto_log_gpu=False, auto_log_cpu=False)
            context_vars.current_run.set(None)
        return self._runs[seed, number]


def _project(folder: Path) -> str:
    """The name of the run folder; of a control also that of the folder of controls."""

    return f'{folder.parent.name}-{folder.name}' if folder.parent.name.endswith('-controls') else folder.name


def open_log(run: Run) -> TrackioLog:
    """The log of a run."""

    return TrackioLog(run)


def _finish(run: Any) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        run.finish()
