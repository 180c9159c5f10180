"""How the training of a session starts: what is said about it, and what is compiled before."""
from collections.abc import Iterator, Sequence

from lth.datasets import Dataset
from lth.experiments import provenance
from lth.experiments.plan import Plan
from lth.experiments.reporter import Reporter
from lth.experiments.run_target import RunTarget
from lth.experiments.seed_training import SeedTraining
from lth.experiments.session_log import SessionLog
from lth.experiments.session_recorder import SessionRecorder
from lth.pruning.tickets import dense_ticket
from lth.training.engines import select
from lth.training.state import State
from lth.training.task import Engine


def compile_ahead(training: SeedTraining, seed: int, reporter: Reporter) -> None:
    """Compile what the engine needs, so that the time that it takes is reported before training."""

    plan = training.plan
    if plan.recipe.algorithm.trains != 'never':
        task = plan.task(training.data, [seed], training.engine)
        dense = dense_ticket(task)
        select.compile_ahead(task, State(dense.weights, dense.buffers), plan.kept, reporter.message)


def start_session(
        training: SeedTraining, target: RunTarget, seeds: Sequence[int], reporter: SessionLog) -> SessionRecorder:
    """Report how the seeds are trained, and return a reporter that also writes the file of this session."""

    plan, engine = training.plan, training.engine
    entry = provenance.session_entry(plan, engine, training.data, target, seeds) | {'recipe': training.run.digest}
    reporter.message(f'Engine: {engine.name} on {engine.device}, threads for each seed: {entry["threads"]}')
    for note in _notes(plan, target, engine, training.data):
        reporter.message(note)
    return SessionRecorder(training.run, entry, reporter)


def _notes(plan: Plan, target: RunTarget, engine: Engine, data: Dataset) -> Iterator[str]:
    """What the user should know about the device and the data of this session."""

    if target.device == 'auto' and (failure := select.gpu_failure()):
        yield f'Note: the GPU is not used: {failure}'
    if note := select.precision_note(engine.device, plan.recipe.training.precision):
        yield f'Note: {note}.'
    if data.note:
        yield data.note
