"""The controller of `penalty: auto`: the factor λ of a penalty, adapted at each freeze event.

A freeze event of Gem-Miner keeps the largest of the active scores, and only scores above the threshold 0.5 are used.
If λ is too small, more scores are above the threshold than an event keeps, and it removes used weights. If λ is too
large, an event keeps weights that are not used. The target is that as many scores are above the threshold as the next
event keeps: then the smallest score p that it would keep, if scores stayed as they are, is 0.5. The controller is
proportional in log λ:

    λ = start · (2p)^6, at most 4 · start

and λ = 0 in the last round, in which no event follows. It has no memory, so that a large error at one event, as of
uniform scores at the start, has no effect on later ones. With a larger limit, a layer can lose all of its scores within
a round.
"""
_EXPONENT = 6
_LARGEST = 4.


def adapted_penalty(start: float, smallest_kept: float) -> float:
    """λ of a round, given the first λ and the smallest score that the event at the end of the round would keep. For
    start = 1e-4 and a score of 0.6 it is 3.0e-4, for 0.4 it is 2.6e-5.
    """

    return start * min((2 * smallest_kept) ** _EXPONENT, _LARGEST)
