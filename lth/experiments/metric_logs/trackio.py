"""trackio: a local-first tracker of experiments with the call interface of W&B. `trackio show` opens its dashboard.

The run folder is a project of trackio, each round of a seed a run in it. The data are in the folder that trackio
selects: $TRACKIO_DIR, or the cache of Hugging Face.
"""
import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import trackio
from trackio import context_vars

from lth.experiments.metric_logs import LoggedFolder, LoggedPart


class TrackioLog:
    """The runs of trackio for the parts of a run, such as rounds of a seed."""

    def __init__(self, logged: LoggedFolder) -> None:
        self._logged = logged
        self._project = _project(logged.folder.resolve())
        self._runs: dict[str, Any] = {}

    def measured(self, part: LoggedPart, step: int, values: Mapping[str, float]) -> None:
        """Log the values at the step."""

        self._run(part).log(dict(values), step=step)

    def completed(self, part: LoggedPart, density: float, results: Mapping[str, float]) -> None:
        """Log density and results of the part, and finish its run."""

        run = self._run(part)
        run.log({f'result/{name}': value for name, value in {'density': density, **results}.items()})
        _finish(run)
        del self._runs[part.name]

    def close(self) -> None:
        """Finish the runs of parts that are not complete."""

        for run in self._runs.values():
            _finish(run)
        self._runs.clear()

    def _run(self, part: LoggedPart) -> Any:
        if part.name not in self._runs:
            # A part that an interrupted session began continues its run.
            resume: Literal['allow', 'never'] = 'allow' if self._logged.is_resumed(part.name) else 'never'
            # Otherwise trackio finishes the run of another seed, which is still trained.
            context_vars.current_run.set(None)
            with contextlib.redirect_stdout(io.StringIO()):
                self._runs[part.name] = trackio.init(
                    project=self._project, name=part.name, group=part.name.split('/')[0],
                    config={**self._logged.settings, **part.settings}, resume=resume, embed=False,
                    auto_log_gpu=False, auto_log_cpu=False)
            context_vars.current_run.set(None)
        return self._runs[part.name]


def _project(folder: Path) -> str:
    """The path of the run folder below ./runs; elsewhere its name. Of a run among others, such as a control or a sanity
    check, also the name of the folder of all of them.
    """

    runs = Path('runs').resolve()
    if folder.is_relative_to(runs):
        return '-'.join(folder.relative_to(runs).parts)
    return f'{folder.parent.name}-{folder.name}' if _is_one_of_several(folder) else folder.name


def _is_one_of_several(folder: Path) -> bool:
    return folder.parent.name.endswith('-controls') or '-checks' in folder.parent.name


def open_log(logged: LoggedFolder) -> TrackioLog:
    """The log of a run."""

    return TrackioLog(logged)


def _finish(run: Any) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        run.finish()
