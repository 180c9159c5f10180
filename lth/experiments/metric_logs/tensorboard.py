"""TensorBoard: event files in RUN/tensorboard/seed-S/round-NN, with the settings of each round as hyperparameters."""
from collections.abc import Mapping
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from lth.experiments.metric_logs import LoggedFolder, LoggedPart

FOLDER = 'tensorboard'
# A search takes minutes: curves should not lag by the two minutes that are torch's default.
_FLUSH_SECONDS = 10


class TensorBoardLog:
    """Event files of a run. Each part, such as a round of a seed, is a run of TensorBoard."""

    def __init__(self, logged: LoggedFolder) -> None:
        self._folder = logged.folder / FOLDER
        self._settings = logged.settings
        self._writers: dict[str, Any] = {}

    def measured(self, part: LoggedPart, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""

        writer = self._writer(part, step)
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    def completed(self, part: LoggedPart, density: float, results: Mapping[str, float]) -> None:
        """Add the hyperparameters, and close the file of the part."""

        writer = self._writer(part, None)
        settings = {**self._settings, **part.settings, 'density': density}
        known = {name: value for name, value in settings.items() if value is not None}
        metrics = {f'result/{name}': value for name, value in results.items()}
        for summary in hparams(known, metrics):
            writer.file_writer.add_summary(summary)
        for name, value in metrics.items():
            writer.add_scalar(name, value)
        writer.close()
        del self._writers[part.name]

    def close(self) -> None:
        """Close the files of parts that are not complete."""

        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, part: LoggedPart, step: int | None) -> Any:
        """The writer of a part. Points from this step on that an interrupted session wrote are not shown."""

        if part.name not in self._writers:
            self._writers[part.name] = SummaryWriter(
                str(self._folder / part.name), purge_step=step or None, flush_secs=_FLUSH_SECONDS)
        return self._writers[part.name]


def open_log(logged: LoggedFolder) -> TensorBoardLog:
    """The log of a run."""

    return TensorBoardLog(logged)
