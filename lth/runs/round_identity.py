"""Which round of which run: where its files lie, and the facts that they must record."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lth.errors import LthError, quote
from lth.models.network import Network
from lth.runs import integrity, seed_folders
from lth.runs.round_record import FORMAT, RoundFacts
from lth.system.yaml_text import Raw


@dataclass(frozen=True)
class RoundIdentity:
    """A round of a seed of the run in the folder `run`, which has this recipe, with this digest, and this network.
    `steps` is the number of iterations of a complete training, None if it is not known.
    """

    run: Path
    seed: int
    number: int
    recipe: Raw
    digest: str
    network: Network
    steps: int | None = None

    @property
    def folder(self) -> Path:
        """The folder of the round."""

        return seed_folders.round_folder(self.run, self.seed, self.number)

    @property
    def advice(self) -> str:
        """What to do if a file of the round is damaged."""

        return integrity.repair_advice(self.run)

    def facts(self) -> dict[str, Any]:
        """The facts that all files of the round must record."""

        layout = self.network.layout
        return {'format': FORMAT, 'recipe': self.digest, 'model': self.recipe['model'],
                'dataset': self.recipe['data']['name'], 'shape': list(self.network.shape),
                'classes': self.network.classes, 'seed': self.seed, 'round': self.number,
                'prunable': layout.prunable_count, 'weights': layout.weight_count}

    def check_iterations(self, path: Path, *iterations: int) -> None:
        """LthError if a file records an iteration after the end of training."""

        if self.steps is not None and max(iterations) > self.steps:
            raise LthError(f'{path} records iteration {max(iterations)}, but training ends at iteration {self.steps}. '
                           f'{self.advice}')

    def check(self, path: Path, actual: RoundFacts) -> None:
        """LthError if a file records that it belongs to another round, network or recipe."""

        expected = self.facts() | {'density': self.network.layout.density(actual.kept)}
        recorded = actual.model_dump()
        # A file of an earlier version lacks the settings of the model that did not exist then.
        recorded['model'] = self.recipe['model'] | actual.model
        if actual.format != FORMAT:
            expected |= {'format': actual.format, 'recipe': None}
        for key, value in expected.items():
            if recorded[key] != value:
                raise LthError(f'{path} is not the file that belongs there: its {key} is {quote(recorded[key])}, not '
                               f'{quote(value)}. {self.advice}')
