"""The engine of each run, when one command searches, which may train scores, and then trains weights."""
from dataclasses import replace

from lth.experiments.plan import Plan
from lth.experiments.runner import RunTarget
from lth.training.engines import select


def target_for(plan: Plan, target: RunTarget) -> RunTarget:
    """The target for this plan. The sparse engine only trains weights, so other plans take their default engine."""

    if target.engine == 'sparse' and plan.recipe.algorithm.trains != 'each':
        return replace(target, engine=None)
    return target


def refuse_unsupported_finetuning(plan: Plan, target: RunTarget) -> None:
    """LthError if the requested engine cannot train what the search by `plan` finds, so before the search starts."""

    if target.engine == 'sparse':
        training = plan.for_round(len(plan.kept) - 1).recipe.training
        obstacle = select.sparse_obstacle(plan.network, plan.recipe.data, training, streamed=plan.streamed)
        select.select_engine(target.device, choice=target.engine, obstacle=obstacle)
