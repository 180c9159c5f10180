"""Ways to spread weights over layers: (slots, count) -> how many weights each prunable layer keeps.

The counts sum to exactly `count`, and each lies between 1 and its layer's size. All arithmetic is rational, so the
fractions that are left are settled alike everywhere: the largest remainders are rounded up, of equal ones the earlier
layer's. A new way is a function here with its name above it.
"""
import bisect
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from lth.errors import LthError
from lth.models.flat_parameters import Slot
from lth.pruning import masks
from lth.registry.registry import Registry

LayerCounts = Callable[[Sequence[Slot], int], tuple[int, ...]]
LAYER_COUNTS: Registry[LayerCounts] = Registry('way to spread weights over layers')
_CLASSIFIER = 0.3


@LAYER_COUNTS.register('uniform')
def uniform(slots: Sequence[Slot], count: int) -> tuple[int, ...]:
    """The same share of every layer."""

    return _round_to_integers(_fill(slots, [Fraction(slot.size) for slot in slots], Fraction(count)))


@LAYER_COUNTS.register('erk', 'erdos-renyi-kernel')
def erk(slots: Sequence[Slot], count: int) -> tuple[int, ...]:
    """Densities in proportion to (the sum of the weight tensor's sides) / (their product), so that wide layers are the
    sparsest: Erdős-Rényi-kernel (Evci et al. 2020, section 3).
    """

    return _round_to_integers(_fill(slots, [Fraction(sum(slot.shape)) for slot in slots], Fraction(count)))


@LAYER_COUNTS.register('balanced')
def balanced(slots: Sequence[Slot], count: int) -> tuple[int, ...]:
    """The same number of weights in every layer, or all of them where it has fewer."""

    return _round_to_integers(_fill(slots, [Fraction(1) for _ in slots], Fraction(count)))


@LAYER_COUNTS.register('smart-ratio')
def smart_ratio(slots: Sequence[Slot], count: int) -> tuple[int, ...]:
    """Densities that fall from layer to layer, a fixed one in the classifier (Su et al. 2020), to the exact count."""

    return _round_to_integers(_smart(slots, Fraction(count), _CLASSIFIER, 0))


def published_smart_ratio(
        slots: Sequence[Slot], density: float, *, classifier: float = _CLASSIFIER, decay: int = 0) -> tuple[int, ...]:
    """The counts of Su et al. 2020: ⌊p_l n_l⌋, so their sum is less than L below the target, density · P.

    l = 1 … L counts every prunable weight tensor, shortcuts and classifier included. The classifier has the density
    `classifier`. For the others p_l = s ((L - l + 1)² + (L - l + 1)) / l^decay, where `decay` is 0, for VGG 2, and s is
    such that Σ p_l n_l, with the classifier's, is the target before anything is rounded. ResNet-20 without shortcut
    weights so keeps 1,574 of 268,336 at density 0.0059. What goes beyond a layer's size is spread over the others in
    proportion, and each layer keeps at least one weight.
    """

    target = Fraction(repr(density)) * sum(slot.size for slot in slots)
    return tuple(map(int, _smart(slots, target, classifier, decay)))


def _smart(slots: Sequence[Slot], target: Fraction, classifier: float, decay: int) -> list[Fraction]:
    """p_l n_l of smart ratio."""

    layers = len(slots)
    amounts = [Fraction(((layers - number) ** 2 + layers - number) * slot.size, (number + 1) ** decay)
               for number, slot in enumerate(slots)]
    last = slots[-1]
    if last.kind != 'output':
        return _fill(slots, amounts, target)
    others = slots[:-1]
    # Beyond what the others can hold, the classifier takes the rest.
    fixed = max(Fraction(repr(classifier)) * last.size, Fraction(1), target - sum(slot.size for slot in others))
    _refuse_little_beside(slots, target, fixed)
    return [*(_fill(others, amounts[:-1], target - fixed) if others else []), fixed]


def _fill(slots: Sequence[Slot], amounts: Sequence[Fraction], target: Fraction) -> list[Fraction]:
    """Parts of the target in proportion to the amounts, but none below 1 or above its layer's size: what a layer has
    too much or too little is the others'.
    """

    _refuse_empty(slots, target)

    def clipped(scale: Fraction) -> list[Fraction]:
        return [min(max(scale * amount, Fraction(1)), Fraction(slot.size)) for amount, slot in zip(amounts, slots)]

    def total(scale: Fraction) -> Fraction:
        return sum(clipped(scale), Fraction(0))

    # The sum of the parts is linear between the scales at which one of them begins or ceases to grow.
    scales = sorted({Fraction(bound) / amount for amount, slot in zip(amounts, slots) for bound in (1, slot.size)})
    above = bisect.bisect_left(scales, target, key=total)
    if above == 0:
        return clipped(scales[0])
    low, high = scales[above - 1:above + 1]
    return clipped(low + (high - low) * (target - total(low)) / (total(high) - total(low)))


def _round_to_integers(parts: Sequence[Fraction]) -> tuple[int, ...]:
    """Integers with the same sum: the parts without their fractions, the largest of which are rounded up."""

    counts = [int(part) for part in parts]
    missing = int(sum(parts)) - sum(counts)
    by_remainder = sorted(range(len(parts)), key=lambda layer: counts[layer] - parts[layer])
    for layer in by_remainder[:missing]:
        counts[layer] += 1
    return tuple(counts)


def _refuse_empty(slots: Sequence[Slot], target: Fraction) -> None:
    """An LthError if there are fewer weights than layers."""

    if target < len(slots):
        total = sum(slot.size for slot in slots)
        raise LthError(
            f'{int(target)} weights are too few for {len(slots)} layers: one, such as {slots[0].name}, would be empty. '
            f'Keep at least {len(slots)} of the {total}: a density of {masks.smallest_share(total, len(slots))}.')


def _refuse_little_beside(slots: Sequence[Slot], target: Fraction, fixed: Fraction) -> None:
    """An LthError if the classifier's weights leave fewer than one for each other layer."""

    least = fixed + len(slots) - 1
    if target < least:
        total, enough, last = sum(slot.size for slot in slots), math.ceil(least), slots[-1]
        raise LthError(
            f'smart-ratio keeps {float(fixed):.6g} of the {last.size} weights of the classifier, {last.name}, and one '
            f'or more in each of the other {len(slots) - 1} layers: {int(target)} in all are too few. Keep at least '
            f'{enough} of the {total}, a density of {masks.smallest_share(total, enough)}; or, with algorithm '
            'smart-ratio, a smaller share of the classifier (algorithm.classifier).')
