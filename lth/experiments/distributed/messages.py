"""What rank 0 sends to the others: a task that all train together, or that the command has ended."""
from dataclasses import dataclass

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.run_target import RunTarget
from lth.system.yaml_text import Raw
from lth.training.engines.distributed.ranks import Ranks

# How long ranks that fail wait for others that fail in the same way.
_SECONDS_TO_LEAVE = 5.
# Reading all images of ImageNet for the first time, to find those that are corrupt, takes most of an hour.
_SECONDS_TO_PREPARE = 6 * 3600.


@dataclass(frozen=True)
class SharedTask:
    """Seeds to train on all ranks: the complete recipe, where and how, on which kind of device, from how many rounds of
    the run and of its source. `expected` has fingerprints of the code and the images of rank 0.
    """

    recipe: Raw
    target: RunTarget
    device: str
    seeds: tuple[int, ...]
    past: int
    source: int
    expected: Raw


@dataclass(frozen=True)
class End:
    """The command has ended on rank 0, with this exit code."""

    exit_code: int


def start_together(ranks: Ranks, error: LthError | None) -> None:
    """Wait until all ranks are prepared for the present task. LthError on all if one of them has an error."""

    if not ranks.all_reach('start', seconds=_SECONDS_TO_PREPARE):
        raise LthError(f'A rank is not prepared after {_SECONDS_TO_PREPARE / 3600:.0f} hours: reading the images takes '
                       'too long on its machine.', exit_code=ENVIRONMENT_ERROR)
    ranks.refuse_failures(error)


def leave_together(ranks: Ranks) -> bool:
    """Whether all ranks leave the present task by an error now, so that they can start the next one together. If they
    do not, some wait for this one in the middle of it.
    """

    try:
        ranks.broken = ranks.lost or not ranks.all_reach('error', seconds=_SECONDS_TO_LEAVE)
    except LthError:
        ranks.broken = True
    return not ranks.broken
