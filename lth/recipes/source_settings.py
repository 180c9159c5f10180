"""What an algorithm declares about the run from which it starts."""
from collections.abc import Sequence
from typing import ClassVar, Literal

from lth.recipes.section import Section

# Rounds of a source run, and which of their weights are needed.
SourceWeights = Sequence[tuple[int, Literal['ticket', 'trained']]]


class SourceSettings(Section):
    """Part of the settings of an algorithm: from which rounds of another run, the source, its rounds start.

    `needs_source`: whether there is a source. `copies_dense_round`: whether round 0 is a copy of the source's round 0.
    `shares_rounds`: whether each seed receives the first round of its own, then `source_rounds` of the `donor_seed`.
    `fits_output_layer`: whether the source's tickets get a new output layer if the classes differ.
    """

    needs_source: ClassVar[bool] = False
    copies_dense_round: ClassVar[bool] = False
    shares_rounds: ClassVar[bool] = False
    fits_output_layer: ClassVar[bool] = False

    @property
    def carried(self) -> str:
        """What is taken over from the tickets of another run, in words; '' if it does not vary."""

        return ''

    @property
    def keeps_masks(self) -> bool:
        """Whether each round has the mask of the source's round from which it starts."""

        return False

    def source_rounds(self) -> Sequence[int]:
        """The rounds of the source run that the algorithm receives as `source`, in this order."""

        return ()

    def source_round(self, number: int) -> int:
        """The round of the source run from which round `number` starts."""

        return number

    def source_weights(self, number: int) -> SourceWeights:
        """The weights of rounds of the source run without which round `number` cannot be found: those with which such a
        round started (`ticket`), or those to which it was trained.
        """

        return ((self.source_round(number), 'ticket'),)

    def table_round(self, number: int) -> int:
        """The number by which tables show round `number`: by default that of the source's round."""

        return self.source_round(number)

    def donor_seed(self) -> int | None:
        """The seed of the source run whose rounds all seeds of this run receive, after the first round of their own;
        None if every seed receives its own rounds.
        """

        return None
