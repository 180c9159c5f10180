"""What a round records of weights that are averages: of copies of one ticket (soups), or of several rounds (pools)."""
from typing import TYPE_CHECKING, Annotated, Self

import pydantic
from pydantic import Field

from lth.runs.stored import Count, Share, Stored
from lth.system import lazy_import

# Lists of runs read records without importing torch.
if TYPE_CHECKING:
    from lth.pruning import tickets
else:
    tickets = lazy_import.module('lth.pruning.tickets')


class CopiesRecord(Stored):
    """The copies of a soup in their order, see CopyAccuracies."""

    validation: Annotated[list[Share], Field(min_length=2, max_length=1_000)]
    test: list[Share]
    in_soup: list[bool]

    @pydantic.model_validator(mode='after')
    def _lists_fit(self) -> Self:
        if not len(self.validation) == len(self.test) == len(self.in_soup) or not any(self.in_soup):
            raise ValueError('validation, test and in_soup should describe the same copies, at least one in the soup')
        return self

    @classmethod
    def of(cls, copies: 'tickets.CopyAccuracies') -> Self:
        """The entry for these copies."""

        return cls(**{name: list(values) for name, values in copies._asdict().items()})

    def accuracies(self) -> 'tickets.CopyAccuracies':
        """The copies."""

        return tickets.CopyAccuracies(tuple(self.validation), tuple(self.test), tuple(self.in_soup))

    @property
    def best_test(self) -> float:
        """The test accuracy of the copy that is best on the validation images, the first of several."""

        return self.test[self.validation.index(max(self.validation))]

    @property
    def mean_test(self) -> float:
        """The mean test accuracy of the copies."""

        return sum(self.test) / len(self.test)


class PoolRecord(Stored):
    """How the weights of a round were pooled, see PoolMembers."""

    validation_before: Share
    test_before: Share
    rounds: Annotated[list[Count], Field(max_length=10_000)]
    shares: list[Share]

    @pydantic.model_validator(mode='after')
    def _lists_fit(self) -> Self:
        if len(self.rounds) != len(self.shares):
            raise ValueError('shares should have one share for each of rounds')
        return self

    @classmethod
    def of(cls, members: 'tickets.PoolMembers') -> Self:
        """The entry for these members."""

        before = {'validation_before': members.validation_before, 'test_before': members.test_before}
        return cls(**before, rounds=list(members.rounds), shares=list(members.shares))

    def members(self) -> 'tickets.PoolMembers':
        """The members."""

        return tickets.PoolMembers(
            self.validation_before, self.test_before, tuple(self.rounds), tuple(self.shares))
