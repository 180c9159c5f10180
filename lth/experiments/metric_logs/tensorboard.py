"""TensorBoard: event files in RUN/tensorboard/seed-S/round-NN, with the settings of each round as hyperparameters."""
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from lth.runs import seed_folders
from lth.runs.folder import Run

FOLDER = 'tensorboard'
# A search takes minutes: curves should not lag by the two minutes that are torch's default.
_FLUSH_SECONDS = 10


class TensorBoardLog:
    """Event files of a run. Each round of a seed is a run of TensorBoard."""

    def __init__(self, run: Run) -> None:
        self._folder = run.folder / FOLDER
        self._writers: dict[tuple[int, int], Any] = {}

    def measured(self, seed: int, number: int, iteration: int, values: dict[str, float]) -> None:
        """Add a point to each curve."""

        writer = self._writer(seed, number, iteration)
        for name, value in values.items():
            writer.add_scalar(name, value, iteration)

    def round_saved(self, seed: int, number: int, settings: dict[str, Any], results: dict[str, float]) -> None:
        """Add the hyperparameters, and close the file of the round."""

        writer = self._writer(seed, number, None)
        known = {name: value for name, value in settings.items() if value is not None}
        metrics = {f'result/{name}': value for name, value in results.items()}
        for summary in hparams(known, metrics):
            writer.file_writer.add_summary(summary)
        for name, value in metrics.items():
            writer.add_scalar(name, value)
        writer.close()
        del self._writers[seed, number]

    def close(self) -> None:
        """Close the files of rounds that are not complete."""

        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, seed: int, number: int, iteration: int | None) -> Any:
        """The writer of a round. Points from this iteration on that an interrupted session wrote are not shown."""

        if (seed, number) not in self._writers:
            folder = seed_folders.round_folder(self._folder, seed, number)
            self._writers[seed, number] = SummaryWriter(
                str(folder), purge_step=iteration or None, flush_secs=_FLUSH_SECONDS)
        return self._writers[seed, number]


def open_log(run: Run) -> TensorBoardLog:
    """The log of a run."""

    return TensorBoardLog(run)
