"""What a run says: which rounds match the dense network, how accurate a gem is, what finetuning gains."""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from lth.analysis.answers.finetuned import FinetunedAnswer
from lth.analysis.answers.gem import GemAnswer
from lth.analysis.answers.sculpted import SculptedAnswer
from lth.analysis.answers.search import SearchAnswer
from lth.analysis.answers.sparse import SparseAnswer
from lth.analysis.json_output.values import Mean, percent, percent_or_none

if TYPE_CHECKING:
    from lth.analysis.answers import answer, finetuned, levels, search


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A paired difference in points, with the one-sided 95% bounds of its mean."""

    difference_points: Mean
    lower_points: float | None
    upper_points: float | None

    @classmethod
    def of(cls, paired: 'levels.PairedDifference') -> Self:
        """The difference of two shares."""

        return cls(difference_points=Mean.of_shares(paired.difference), lower_points=percent_or_none(paired.lower),
                   upper_points=percent_or_none(paired.upper))


@dataclass(frozen=True, kw_only=True)
class Level:
    """A round next to the dense network, over the seeds that both have."""

    round: int
    kept: int
    density_percent: float
    accuracy_percent: Mean
    dense_accuracy_percent: Mean
    to_dense: Difference
    verdict: Literal['matching', 'worse', 'undecided']
    early_stop_iteration: Mean
    dense_early_stop_iteration: Mean

    @classmethod
    def of(cls, level: 'levels.Level') -> Self:
        """The level of a round."""

        return cls(
            round=level.number, kept=level.kept, density_percent=percent(level.density),
            accuracy_percent=Mean.of_shares(level.accuracy), dense_accuracy_percent=Mean.of_shares(level.dense),
            to_dense=Difference.of(level.paired), verdict=level.verdict,
            early_stop_iteration=Mean.of(level.early_stops),
            dense_early_stop_iteration=Mean.of(level.dense_early_stops))


@dataclass(frozen=True, kw_only=True)
class ControlResult:
    """A control next to the ticket of `round`: ticket - control; and in how many of the rounds the ticket is better."""

    control: str
    round: int
    difference_points: Mean
    p: float | None
    verdict: Literal['survives', 'fails', 'undecided']
    rounds_better: int
    rounds: int

    @classmethod
    def of(cls, control: 'search.ControlAnswer', number: int) -> Self:
        """The comparison with the ticket of this round."""

        return cls(control=control.name, round=number, p=control.comparison.p, verdict=control.verdict,
                   difference_points=Mean.of_shares(control.comparison.difference),
                   rounds_better=control.rounds_better, rounds=control.rounds)


@dataclass(frozen=True, kw_only=True)
class TicketAnswer:
    """Rounds next to the dense network; numbers of rounds are those of the table."""

    accuracy_at: Literal['early stop', 'end']
    margin_points: float
    dense_accuracy_percent: Mean
    undertrained_seeds: list[int]
    still_falling_rounds: list[int]
    levels: list[Level]
    sparsest_matching_round: int | None
    best_round: int
    controls: list[ControlResult]

    @classmethod
    def of(cls, found: SearchAnswer) -> Self:
        """The answer of a search."""

        return cls(
            accuracy_at=found.moment, margin_points=percent(found.margin),
            dense_accuracy_percent=Mean.of_shares(found.dense), undertrained_seeds=found.undertrained,
            still_falling_rounds=found.still_falling,
            levels=list(map(Level.of, found.levels)),
            sparsest_matching_round=found.sparsest.number if found.sparsest else None, best_round=found.best.number,
            controls=[ControlResult.of(control, found.chosen.number) for control in found.controls])


@dataclass(frozen=True, kw_only=True)
class Gem:
    """The accuracy of a gem before training, and that of a guess."""

    round: int
    density_percent: float
    accuracy_percent: Mean
    lower_percent: float | None
    chance_percent: float

    @classmethod
    def of(cls, found: GemAnswer) -> Self:
        """The answer of a search for gems."""

        return cls(round=found.number, density_percent=percent(found.density),
                   accuracy_percent=Mean.of_shares(found.accuracy), lower_percent=percent_or_none(found.lower),
                   chance_percent=percent(found.chance))


@dataclass(frozen=True, kw_only=True)
class SparseTraining:
    """The accuracy of a sparse training at its end, and how its mask moved."""

    method: str
    round: int
    density_percent: float
    accuracy_percent: Mean
    events: Mean
    churn_percent: Mean | None
    ever_active_percent: Mean

    @classmethod
    def of(cls, found: SparseAnswer) -> Self:
        """The answer of a sparse training."""

        return cls(method=found.method, round=found.number, density_percent=percent(found.density),
                   accuracy_percent=Mean.of_shares(found.accuracy), events=Mean.of(found.events),
                   churn_percent=Mean.of_shares(found.churn) if found.churn else None,
                   ever_active_percent=Mean.of_shares(found.ever_active))


@dataclass(frozen=True, kw_only=True)
class DenseNetwork:
    """A dense network that was trained like the finetuned one."""

    run: Path
    accuracy_percent: Mean
    to_dense: Difference
    verdict: Literal['matching', 'worse', 'undecided']

    @classmethod
    def of(cls, dense: 'finetuned.DenseComparison') -> Self:
        """The comparison with a dense network."""

        return cls(run=dense.folder, accuracy_percent=Mean.of_shares(dense.accuracy),
                   to_dense=Difference.of(dense.paired), verdict=dense.verdict)


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """Accuracy before and after finetuning."""

    source: Path
    round: int
    margin_points: float
    before_percent: Mean | None
    after_percent: Mean
    gain_points: Mean | None
    dense: DenseNetwork | None

    @classmethod
    def of(cls, found: FinetunedAnswer) -> Self:
        """The answer of a run that finetunes another."""

        return cls(
            source=found.source, round=found.number, margin_points=percent(found.margin),
            before_percent=Mean.of_shares(found.before) if found.before else None,
            after_percent=Mean.of_shares(found.after), gain_points=Mean.of_shares(found.gain) if found.gain else None,
            dense=DenseNetwork.of(found.dense) if found.dense else None)


@dataclass(frozen=True, kw_only=True)
class Sculpting:
    """Accuracy after the cycles, and after the pruning and one more cycle."""

    density_percent: float
    accuracy_percent: Mean
    pruned_density_percent: float
    pruned_accuracy_percent: Mean
    change_points: Mean

    @classmethod
    def of(cls, found: SculptedAnswer) -> Self:
        """The answer of SCULPT."""

        return cls(
            density_percent=percent(found.density), accuracy_percent=Mean.of_shares(found.accuracy),
            pruned_density_percent=percent(found.pruned_density),
            pruned_accuracy_percent=Mean.of_shares(found.pruned_accuracy), change_points=Mean.of_shares(found.change))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of a run. At most one of `tickets`, `gem`, `sparse_training`, `finetuning` and `sculpting` is not
    null.
    """

    run: Path
    sentences: list[str]
    next_commands: list[str]
    tickets: TicketAnswer | None
    gem: Gem | None
    sparse_training: SparseTraining | None
    finetuning: Finetuning | None
    sculpting: Sculpting | None

    @classmethod
    def of(cls, made: 'answer.Answer') -> Self:
        """The answer of a run."""

        found = made.found
        return cls(run=made.run, sentences=list(made.sentences), next_commands=list(made.next_commands),
                   tickets=TicketAnswer.of(found) if isinstance(found, SearchAnswer) else None,
                   gem=Gem.of(found) if isinstance(found, GemAnswer) else None,
                   sparse_training=SparseTraining.of(found) if isinstance(found, SparseAnswer) else None,
                   finetuning=Finetuning.of(found) if isinstance(found, FinetunedAnswer) else None,
                   sculpting=Sculpting.of(found) if isinstance(found, SculptedAnswer) else None)
