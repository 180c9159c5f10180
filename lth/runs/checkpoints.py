"""Checkpoints of the round in progress: when a training is saved, and where it continues after an interruption.

A checkpoint holds all trainings of the round so far, so that nothing of the round is trained twice. It is saved every
few minutes, and once when a signal asks the process to end; when the round is complete it is removed.
"""
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lth.runs import checkpoint_files, stored_trainings
from lth.runs.checkpoint_files import CheckpointFolder
from lth.runs.stored_trainings import StoredTraining
from lth.system import signals
from lth.training.checkpoint_interval import CheckpointInterval
from lth.training.state import Snapshot, TrainingStart
from lth.training.task import Task

# Training looks at the clock and for signals about this often. A stop takes about a millisecond.
_SECONDS_PER_STOP = 1.
_FIRST_STEPS, _GROWTH = 8, 8


@dataclass(frozen=True)
class CheckpointStore:
    """Where the checkpoints of some seeds are, and what belongs to them.

    `folder_of` returns the folder of a seed. `identity` is a digest of recipe, code and data. `before_first` is called
    before anything is written, `after_save` with the iteration of each checkpoint, and `on_message` with notes for the
    user.
    """

    folder_of: Callable[[int], Path]
    identity: str
    interval: CheckpointInterval
    before_first: Callable[[], object]
    after_save: Callable[[int], object]
    on_message: Callable[[str], object]


class RunCheckpoints:
    """The checkpoints of seeds that are trained together, from round `number` on. A `Checkpoints` for tasks."""

    def __init__(self, store: CheckpointStore, number: int) -> None:
        self._store, self._number = store, number
        self._pace, self._last_save = _Pace(), time.monotonic()
        self._stored: dict[int, list[StoredTraining]] = {}
        # Trainings of this round that are complete: seeds, digests of their starts, and last snapshots.
        self._complete: list[_Training] = []
        self._current: _Training | None = None
        self._saved: Snapshot | None = None
        self._last_step = 0

    def resume(self, task: Task, start: TrainingStart) -> Snapshot | None:
        """The snapshot that was saved of the training with this start, None if there is none. It becomes the
        current training.
        """

        signals.check()
        if self._current and self._current.snapshot:
            self._complete.append(self._current)
        starts = stored_trainings.start_digests(task, start, self._store.identity)
        self._current = _Training(task.run_seeds, starts)
        self._read(task.run_seeds, start)
        found = self._find(task, self._current, start)
        snapshot = found and found.to(task.engine.device)
        self._current.snapshot = self._saved = snapshot
        self._last_step = snapshot.state.step if snapshot else start.state.step
        self._pace.start()
        return snapshot

    def next_stop(self, step: int) -> int:
        """The iteration after `step` at which the current training calls `keep` again, at the latest."""

        every = self._store.interval.iterations
        self._pace.stop(step)
        stop = self._pace.next_stop(step)
        return min(stop, (step // every + 1) * every) if every else stop

    def is_due(self, step: int) -> bool:
        """Whether `keep` would save a snapshot of the current training at this iteration."""

        interval = self._store.interval
        if signals.requested():
            return True
        if interval.iterations:
            return step // interval.iterations > self._last_step // interval.iterations
        return interval.seconds is not None and time.monotonic() - self._last_save >= interval.seconds

    def keep(self, snapshot: Snapshot) -> None:
        """Keep the latest snapshot of the current training, and save it if a checkpoint is due or if the process was
        asked to end, which then raises Interrupted.
        """

        assert self._current
        self._pace.stop(snapshot.state.step)
        self._current.snapshot = snapshot
        self.check()
        if self.is_due(snapshot.state.step):
            self._save()

    def check(self) -> None:
        """If the process was asked to end, save the snapshot that was kept and raise Interrupted."""

        if signals.requested():
            with signals.writing():
                if not self._store.interval.is_off:
                    self._save()
            signals.check()

    def complete_round(self, seeds: Sequence[int]) -> None:
        """Forget the trainings of the round, which was saved; the next ones belong to the next round."""

        for seed in seeds:
            shutil.rmtree(self._store.folder_of(seed), ignore_errors=True)
        self._stored, self._complete, self._current, self._saved = {}, [], None, None
        self._number, self._last_save = self._number + 1, time.monotonic()

    def _save(self) -> None:
        """Write a checkpoint of each seed, and remove its older ones."""

        trainings = [training for training in (*self._complete, self._current) if training and training.snapshot]
        last = trainings[-1].snapshot if trainings else None
        if last is None or last is self._saved:
            return
        self._store.before_first()
        encoded = [training.encoded() for training in trainings]
        for seed in trainings[-1].rows():
            self._write(seed, last.state.step, encoded)
        self._saved, self._last_step, self._last_save = last, last.state.step, time.monotonic()
        self._store.after_save(last.state.step)

    def _write(self, seed: int, step: int, encoded: Sequence[dict[int, StoredTraining]]) -> None:
        trainings = [parts[seed] for parts in encoded if seed in parts]
        folder = self._store.folder_of(seed) / checkpoint_files.folder_name(self._number, step)
        checkpoint_files.replace_with(folder, checkpoint_files.encode(seed, self._number, trainings))

    def _read(self, seeds: Sequence[int], start: TrainingStart) -> None:
        """Read the checkpoints of these seeds in this round, unless they were read before."""

        for seed in set(seeds) - self._stored.keys():
            folder = newest_checkpoint(self._store.folder_of(seed), self._number)
            at_most = seeds.count(seed) * _most_bytes(start)
            self._stored[seed] = checkpoint_files.read(folder, seed, at_most=at_most) if folder else []

    def _find(self, task: Task, training: '_Training', start: TrainingStart) -> Snapshot | None:
        """The stored snapshot of a training, if all its seeds have one of the same iteration."""

        parts, order = list[StoredTraining](), list[int]()
        for seed, rows in training.rows().items():
            wanted = tuple(training.starts[row] for row in rows)
            found = next((part for part in self._stored[seed] if part.starts == wanted), None)
            if found is None or found.step != (parts or [found])[0].step:
                self._report_unused(training.seeds)
                return None
            folder = newest_checkpoint(self._store.folder_of(seed), self._number)
            assert folder
            checkpoint_files.check_fit(folder.path, found, task, start)
            parts.append(found)
            order += rows
        return stored_trainings.stack_trainings(parts, order)

    def _report_unused(self, seeds: Sequence[int]) -> None:
        """Say that there are checkpoints, but none of the first training of the round."""

        paths = [str(self._store.folder_of(seed)) for seed in dict.fromkeys(seeds) if self._stored[seed]]
        if paths and not self._complete:
            self._store.on_message(
                f'Note: {", ".join(paths)}: this checkpoint was saved with other settings, code, images or earlier '
                f'rounds than those that are there now. It is not used: round {self._number} is trained from its '
                'start.')


def newest_checkpoint(parent: Path, number: int) -> CheckpointFolder | None:
    """The newest checkpoint of a round in the folder of a seed's checkpoints, None if there is none."""

    found = [folder for folder in checkpoint_files.checkpoint_folders(parent) if folder.round == number]
    return found[-1] if found else None


def _most_bytes(start: TrainingStart) -> int:
    """More bytes than a checkpoint of one replicate has: 65 trainings, as of the copies of a soup after one
    network, with eight vectors each.
    """

    buffers = sum(tensor[0].nbytes for tensor in start.state.buffers.values())
    return 2 ** 24 + 65 * (8 * start.state.weights[0].nbytes + buffers + 100 * start.until)


@dataclass
class _Training:
    """A training by the digests of its start, one for each replicate, and its latest snapshot."""

    seeds: tuple[int, ...]
    starts: tuple[str, ...]
    snapshot: Snapshot | None = None

    def rows(self) -> dict[int, list[int]]:
        """The replicates of each seed: several if levels of a control train together."""

        rows: dict[int, list[int]] = {}
        for row, seed in enumerate(self.seeds):
            rows.setdefault(seed, []).append(row)
        return rows

    def encoded(self) -> dict[int, StoredTraining]:
        """What is stored of each seed."""

        assert self.snapshot
        state, tensors = self.snapshot.state, stored_trainings.training_tensors(self.snapshot)
        return {seed: StoredTraining(tuple(self.starts[row] for row in rows), state.step, state.engine,
                                     stored_trainings.rows_of(tensors, rows)) for seed, rows in self.rows().items()}


class _Pace:
    """Chooses stops that are about a second apart, whatever a step takes: 0.01 ms on a sparse network, or a second."""

    def __init__(self) -> None:
        self._steps = _FIRST_STEPS
        self._from: tuple[int, float] | None = None

    def start(self) -> None:
        """A training begins, perhaps a slower one than the last."""

        self._steps, self._from = max(_FIRST_STEPS, self._steps // _GROWTH), None

    def next_stop(self, step: int) -> int:
        """The next stop after `step`."""

        self._from = step, time.monotonic()
        return step + self._steps

    def stop(self, step: int) -> None:
        """Learn from the time since the last stop, before other work is done."""

        if self._from and step > self._from[0]:
            seconds = max(time.monotonic() - self._from[1], 1e-6)
            fitting = int((step - self._from[0]) / seconds * _SECONDS_PER_STOP)
            self._steps = max(1, min(self._steps * _GROWTH, fitting))
        self._from = None
