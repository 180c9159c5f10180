"""The settings class of an algorithm, which also declares what the rest of the package needs to know about it."""
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from lth.errors import LthError
from lth.recipes.source_settings import SourceSettings
from lth.recipes.training_settings import TrainingSettings
from lth.registry.registry import BaseRegistry
from lth.system.yaml_text import Raw

# Of a run: each is a folder, and papers have about 30. A gem's has a round for each freeze event.
MOST_ROUNDS = 1_000


def _as_list(value: Any) -> Any:
    """A list of one word instead of the word."""

    return [value] if isinstance(value, str) else value


_Kind = Literal['recurrent', 'embedding']
# Which layers are pruned: what a run that starts from another one takes from it.
LAYER_SETTINGS = ('keep_out', 'also_prune')


class AlgorithmSettings(SourceSettings):
    """How subnetworks are found. Each algorithm declares its own settings in a subclass, and with these class variables
    and methods what the rest of the package has to know about it; nothing else depends on an algorithm's name.

    `trains`: in `each` round, starting again; `throughout`, all rounds being parts of one training; or `never`.
    `trains_scores`: whether scores are trained in the place of weights. `finds`: tickets, gems, sparse networks that
    are trained and not to be trained again, or nothing new, if it trains what another run found. `uses_data`: whether
    the masks depend on images or labels. `stochastic`: whether each training step samples a mask. `second_derivatives`:
    whether gradients are differentiated again. `reads_files`: whether its rounds are read from files of another
    program.
    `preset`: the preset that find-gem uses if none is for this algorithm; if it is empty, Gem-Miner's recipe for the
    model and data set, of whose section `algorithm` it takes the settings `preset_keys`.
    `gem_alias`: a second name that find-gem accepts. `event`: what happens between two rounds, as find-gem reports it.
    `starting_values`: settings that may be `auto`, and for each the setting with the value from which it then starts:
    that of the recipe.
    `ladder`: the setting that a run with more rounds changes, their number or a list with an entry for each; if it is
    empty, all rounds depend on how many there are.
    `prunes_once`: whether round 1 prunes the trained network of round 0 and trains on, which ends the run.
    `homogeneous`: whether it needs layers whose output is proportional to their input.
    `sampled_masks`: number of masks whose mean accuracy is reported in addition, see `sampled_accuracy`.
    """

    trains: ClassVar[Literal['each', 'throughout', 'never']] = 'each'
    trains_scores: ClassVar[bool] = False
    finds: ClassVar[Literal['tickets', 'gems', 'sparse networks', 'nothing new']] = 'tickets'
    uses_data: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False
    second_derivatives: ClassVar[bool] = False
    homogeneous: ClassVar[bool] = False
    reads_files: ClassVar[bool] = False
    preset: ClassVar[str] = ''
    preset_keys: ClassVar[tuple[str, ...]] = ()
    gem_alias: ClassVar[str] = ''
    event: ClassVar[str] = ''
    starting_values: ClassVar[Mapping[str, str]] = MappingProxyType({})
    ladder: ClassVar[str] = ''
    prunes_once: ClassVar[bool] = False
    sampled_masks: ClassVar[int] = 0

    name: str = Field(description='A name of `lth list algorithms`.')
    keep_out: Annotated[
        tuple[str, ...], Field(strict=False),
        BeforeValidator(_as_list, json_schema_input_type=str | tuple[str, ...])] = Field(
            (), description='Layers that are never pruned: `output`, `shortcut`, parts of their names, or patterns.')
    also_prune: Annotated[
        tuple[_Kind, ...], Field(strict=False),
        BeforeValidator(_as_list, json_schema_input_type=_Kind | tuple[_Kind, ...])] = Field(
            (), description='Kinds of layers that are pruned in addition to convolutions, dense layers and attention.')

    @property
    def short_name(self) -> str:
        """The algorithm in the default name of a run folder."""

        return self.name

    @property
    def trains_weights(self) -> bool:
        """Whether the weights that a mask keeps are trained, so that the trained network has other ones."""

        return self.trains != 'never' and not self.trains_scores

    @property
    def origin(self) -> str:
        """Where the rounds of a run come from, in words, if no search of lth found them: it can neither be repeated nor
        extended, and its trainings were measured once, at the end; '' for all others.
        """

        return ''

    @property
    def alters_weights(self) -> bool:
        """Whether tickets hold other values than the rewind point's, with pruned weights at 0: rescaled layers, or
        pruned weights that are not 0. Most controls cannot keep these.
        """

        return False

    @property
    def starts_trained(self) -> bool:
        """Whether all tickets start from trained weights instead of those of the rewind point."""

        return False

    @property
    def soup_sentence(self) -> str:
        """What the soups of rounds that train copies are used for; '' if no copies are trained."""

        return ''

    @property
    def count_is_limit(self) -> bool:
        """Whether the last round may keep fewer weights than its planned count."""

        return False

    @property
    def depends_on_data(self) -> bool:
        """Whether the masks depend on images or labels with these settings."""

        return self.uses_data

    @property
    def mask_batches(self) -> int:
        """Number of batches whose features are in memory at the same time while the mask is selected, at least."""

        return 0

    def entries(self) -> Sequence[tuple[BaseRegistry[Any], str]]:
        """The registries and names of what the algorithm uses, such as criteria: their code is recorded with a run."""

        return ()

    @property
    def ladder_obstacle(self) -> str:
        """Why rounds cannot be added after the last one although there is a ladder; '' if they can."""

        return ''

    def kept_counts(self, _layout: Any, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        """Number of prunable weights kept in each round of a network with this Layout; an LthError if it is too small.
        """

        raise NotImplementedError(f'{type(self)} must define kept_counts')

    def kept_per_layer(
            self, _layout: Any, _training: TrainingSettings, _steps_per_epoch: int) -> Sequence[Sequence[int]] | None:
        """Number of weights that each prunable layer keeps in each round; None if only the search shows it."""

        return None

    def trained_steps(
            self, _number: int, training: TrainingSettings, steps_per_epoch: int, *, start: int = 0) -> int | None:
        """Number of training steps of a round; None if it is not known before. `start` is the iteration at which the
        ticket of the source run starts.
        """

        lengths = {'each': training.steps(steps_per_epoch) - start, 'never': 0}
        return lengths.get(self.trains)

    def step_operations(self, _dense: int, kept: int) -> int:
        """Multiply-adds of a training step for each image, given those of a forward pass with all weights and with the
        weights that the round keeps. By default one forward pass with the kept weights and a backward pass of twice
        that, for the gradients of features and weights.
        """

        return 3 * kept

    def mask_operations(self, _dense: int, _batch_size: int, _classes: int) -> int:
        """Multiply-adds of the passes that select the mask and are not training steps, given those of a forward pass
        with all weights for one image. Passes that only estimate BatchNorm's statistics are not counted.
        """

        return 0

    def check(self, _training: TrainingSettings, _steps_per_epoch: int) -> None:
        """Raise an LthError for settings that cannot work with this training."""

    def training_for_round(
            self, _number: int, training: TrainingSettings, _steps_per_epoch: int) -> TrainingSettings:
        """How the subnetwork of a round is trained, given the recipe's training."""

        return training

    def inverted(self) -> Raw:
        """The settings that make the algorithm keep the weights that it ranks lowest; an LthError with the reason if
        there are none.
        """

        raise LthError(f'{self.name} has no ranking that can be inverted')

    def watched_counts(self, _layout: Any) -> tuple[Literal['layer', 'global'], Sequence[Sequence[int]]] | None:
        """The scope in which weights are ranked for the masks that are compared while round 0 of a network with this
        Layout is trained, and how many weights each mask keeps in each part of the scope, the densest first; None if
        no masks are compared.
        """

        return None

    def sampled_accuracy(self, _task: Any, _scores: Any) -> tuple[float, ...]:
        """Mean test accuracy of `sampled_masks` masks sampled from scores (R, P), for each replicate."""

        return ()
