"""What the user should know about a plan before it is run."""
from lth.models.layer_kinds import available_kinds
from lth.models.network import Network
from lth.recipes.durations import Duration
from lth.recipes.schema import Multistep, Recipe, TrainingSettings
from lth.runs.round_encoding import unpruned_records
from lth.runs.unpruned import unpruned_sentence


def plan_notes(recipe: Recipe, network: Network, epoch: int) -> list[str]:
    """What the user should know before the plan is run; `epoch` is the number of steps in an epoch."""

    notes = [*network.notes, *_notes_on_parameters(network), *_notes_on_schedule(recipe.training, epoch)]
    if network.has_fixed_weights:
        notes.insert(0, 'all seeds start from the weights of the given module and differ only in the order of the '
                     'data; the setting model.initializer draws weights for each seed')
    return notes


def _notes_on_parameters(network: Network) -> list[str]:
    """A note on matrices that are not pruned, if there are any, and on how to prune those that can be."""

    sentence = unpruned_sentence(unpruned_records(network.layout))
    pruned = {slot.kind for slot in network.layout.slots}
    kinds = [kind for kind in available_kinds(network.module) if kind not in pruned]
    if sentence and kinds:
        sentence += f'; --set algorithm.also_prune=[{",".join(kinds)}] prunes {" and ".join(kinds)} layers too'
    return [sentence] if sentence else []


def _notes_on_schedule(training: TrainingSettings, epoch: int) -> list[str]:
    """Notes on parts of the learning-rate schedule that come after the end of training, or of each cycle."""

    spans: list[tuple[str, Duration]] = [('warm-up', training.warmup)]
    if isinstance(training.schedule, Multistep):
        spans += [('milestone', milestone) for milestone in training.schedule.milestones]
    end = training.length.steps(epoch)
    part = 'each cycle' if training.cycles > 1 and training.cycle_budget == 'each' else 'training'
    return [f'the {what} at {span} is after the end of {part}, {training.length} (iteration {end})'
            for what, span in spans if span.steps(epoch) >= end]
