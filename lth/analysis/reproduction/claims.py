"""Claims of a paper next to what was measured here: agrees, does not agree, cannot tell."""
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from lth.analysis.papers import Claim
from lth.analysis.reproduction.measures import NotMeasured, Outcome, Values, match_range, measure, outcome_of
from lth.analysis.statistics import Interval, confidence_interval

Agreement = Literal['agrees', 'does not agree', 'cannot tell']
Unit = Literal['%', 'points', 'iterations']


class ClaimResult(NamedTuple):
    """A claim and what was measured: the mean over seeds in `unit` with its 95% interval, None if it was not measured;
    `reason` says why it cannot be told. `published` is the number that the paper prints, None if it is not at hand.
    """

    claim: str
    section: str
    published: float | None
    unit: Unit
    ours: Interval | None
    agreement: Agreement
    reason: str


# What was measured, the agreement, and why it cannot be told.
_Test = tuple[Interval | None, Agreement, str]


def check_claims(
        claims: Sequence[Claim], outcomes: Mapping[str, Outcome], *, too_small: str = '') -> list[ClaimResult]:
    """The claims with what the runs of the experiment say about them. `too_small` is the reason why runs of this scale
    say nothing about any claim, '' if they do.
    """

    results = (_tested(claim, outcomes) for claim in claims)
    return [result._replace(agreement='cannot tell', reason=too_small) if too_small and result.ours else result
            for result in results]


def _tested(claim: Claim, outcomes: Mapping[str, Outcome]) -> ClaimResult:
    test = _match_test if claim.measure == 'density-of-sparsest-match' else _interval_test
    try:
        ours, agreement, reason = test(claim, outcomes)
    except NotMeasured as error:
        ours, agreement, reason = None, 'cannot tell', str(error)
    return ClaimResult(claim.claim, claim.section, claim.published, _unit(claim), ours, agreement, reason)


def _interval_test(claim: Claim, outcomes: Mapping[str, Outcome]) -> _Test:
    """Whether the 95% interval over seeds lies on the claimed side of the value."""

    ours = confidence_interval(list(_values(claim, outcomes).values()))
    agreement = _agreement(claim, ours)
    return ours, agreement, _reason(ours) if agreement == 'cannot tell' else ''


def _match_test(claim: Claim, outcomes: Mapping[str, Outcome]) -> _Test:
    """Whether the sparsest matching round lies on the claimed side of the value. One without a verdict may match."""

    outcome = outcome_of(claim.of, outcomes)
    shown, possible = match_range(claim.of, outcome)
    ours = Interval(shown, None, len(outcome.seeds))
    if possible <= claim.value < shown:
        return ours, 'cannot tell', f'rounds down to {possible:.3g}% are undecided: add seeds'
    is_below = shown <= claim.value
    return ours, 'agrees' if is_below == (claim.expect == 'below') else 'does not agree', ''


def _values(claim: Claim, outcomes: Mapping[str, Outcome]) -> Values:
    """The value of each seed; of a comparison, of the seeds that both sides have."""

    first = measure(claim.measure, claim.of, outcomes)
    if claim.than is None:
        return first
    second = measure(claim.measure, claim.than, outcomes)
    values = {seed: value - second[seed] for seed, value in first.items() if seed in second}
    if claim.relative:
        values = {seed: 100 * value / second[seed] for seed, value in values.items() if second[seed]}
    if not values:
        raise NotMeasured('both networks have no seed in common')
    return values


def _agreement(claim: Claim, ours: Interval) -> Agreement:
    """Whether the 95% interval lies on the claimed side of the value, on the other one, or on both."""

    if ours.margin is None:
        return 'cannot tell'
    side = 1 if claim.expect == 'above' else -1
    low, high = sorted((side * (ours.mean - ours.margin - claim.value), side * (ours.mean + ours.margin - claim.value)))
    if low > 0:
        return 'agrees'
    return 'does not agree' if high <= 0 else 'cannot tell'


def _reason(ours: Interval) -> str:
    return 'one seed has no interval' if ours.margin is None else 'the interval reaches to both sides: add seeds'


def _unit(claim: Claim) -> Unit:
    if claim.relative or claim.measure == 'density-of-sparsest-match':
        return '%'
    if claim.measure == 'early-stop':
        return 'iterations'
    return 'points' if claim.than or claim.measure == 'barrier' else '%'
