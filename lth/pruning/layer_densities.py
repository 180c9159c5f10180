"""Methods that distribute weights over layers: (slots, count) -> the number of weights that each prunable layer keeps.

The numbers sum to exactly `count`, and each is between 1 and the layer's size. The arithmetic is rational, so that
rounding gives the same result on every machine: the largest remainders are rounded up, of equal remainders the earlier
layer's. To add a method, write a function here with `@LAYER_COUNTS.register(name)` above it.
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
LAYER_COUNTS: Registry[LayerCounts] = Registry('method to distribute weights over layers')
_CLASSIFIER = 0.3


@LAYER_COUNTS.register('uniform')
def uniform(slots: Sequence[Slot], count: int) -> tuple[int, ...]:
    """The same density in every layer."""

    return _round_to_integers(_distribute(slots, [Fraction(slot.size) for slot in slots], Fraction(count)))


@LAYER_COUNTS.register('erk', 'erdos-renyi-kernel')
def erk(slots: Sequence[Slot], count: int) -> tuple[int, ...]:
    """Densities in proportion to (sum of the weight tensor's dimensions) / (their product), so that large layers are
    the sparsest: Erdős-Rényi-kernel (Evci et al. 2020, section 3).
    """

    return _round_to_integers(_distribute(slots, [Fraction(sum(slot.shape)) for slot in slots], Fraction(count)))


@LAYER_COUNTS.register('balanced')
def balanced(slots: Sequence[Slot], count: int) -> tuple[int, ...]:
    """The same number of weights in every layer, or all weights of a layer that has fewer."""

    return _round_to_integers(_distribute(slots, [Fraction(1) for _ in slots], Fraction(count)))


@LAYER_COUNTS.register('smart-ratio')
def smart_ratio(slots: Sequence[Slot], count: int) -> tuple[int, ...]:
    """Densities that decrease with depth, with a fixed density of the classifier (Su et al. 2020)."""

    return _round_to_integers(_smart_ratio(slots, Fraction(count), _CLASSIFIER, 0))


def smart_ratio_for(model: str) -> LayerCounts:
    """Smart ratio for the network of this name: for VGG, densities are also divided by l² (Su et al. 2020)."""

    decay = 2 if 'vgg' in model.lower() else 0
    return lambda slots, count: _round_to_integers(_smart_ratio(slots, Fraction(count), _CLASSIFIER, decay))


def published_smart_ratio(
        slots: Sequence[Slot], density: float, *, classifier: float = _CLASSIFIER, decay: int = 0) -> tuple[int, ...]:
    """The counts of Su et al. 2020, ⌊p_l n_l⌋. Their sum is less than L below the target, density · P.

    l = 1 … L counts all prunable weight tensors, including shortcuts and classifier. The classifier has the density
    `classifier`. For the others p_l = s ((L - l + 1)² + (L - l + 1)) / l^decay, where `decay` is 0, or 2 for VGG, and s
    is such that Σ p_l n_l, including the classifier, is the target before rounding. ResNet-20 without shortcut weights
    thus keeps 1,574 of 268,336 weights at density 0.0059. What exceeds a layer's size goes to the next layers, as in
    the published code, and each layer keeps at least one weight.
    """

    target = Fraction(repr(density)) * sum(slot.size for slot in slots)
    return tuple(map(int, _smart_ratio(slots, target, classifier, decay)))


def _smart_ratio(slots: Sequence[Slot], target: Fraction, classifier: float, decay: int) -> list[Fraction]:
    """p_l n_l of smart ratio. The classifier is the last layer, wherever it is registered."""

    order = sorted(range(len(slots)), key=lambda number: slots[number].kind == 'output')
    parts = _smart_ratio_by_depth([slots[number] for number in order], target, classifier, decay)
    by_number = dict(zip(order, parts, strict=True))
    return [by_number[number] for number in range(len(slots))]


def _smart_ratio_by_depth(slots: Sequence[Slot], target: Fraction, classifier: float, decay: int) -> list[Fraction]:
    layers = len(slots)
    amounts = [Fraction(((layers - number) ** 2 + layers - number) * slot.size, (number + 1) ** decay)
               for number, slot in enumerate(slots)]
    last = slots[-1]
    if last.kind != 'output':
        return _carry(slots, amounts, target)
    others = slots[:-1]
    # If the other layers are full, the classifier keeps the rest.
    fixed = max(Fraction(repr(classifier)) * last.size, Fraction(1), target - sum(slot.size for slot in others))
    _refuse_too_few_for_others(slots, target, fixed)
    return [*(_carry(others, amounts[:-1], target - fixed) if others else []), fixed]


def _carry(slots: Sequence[Slot], amounts: Sequence[Fraction], target: Fraction) -> list[Fraction]:
    """Parts of the target in proportion to the amounts, but at least 1 and at most the layer's size. The difference
    goes to the next layer; that of the last layers, to those before.
    """

    _refuse_too_few(slots, target)
    scale, rest = target / sum(amounts, Fraction(0)), Fraction(0)
    parts = [Fraction(0)] * len(slots)
    for number in [*range(len(slots)), *reversed(range(len(slots)))]:
        share = parts[number] or scale * amounts[number]
        parts[number] = min(max(share + rest, Fraction(1)), Fraction(slots[number].size))
        rest += share - parts[number]
    return parts


def _distribute(slots: Sequence[Slot], amounts: Sequence[Fraction], target: Fraction) -> list[Fraction]:
    """Parts of the target in proportion to the amounts, but at least 1 and at most the layer's size. The difference
    goes to the other layers.
    """

    _refuse_too_few(slots, target)

    def clipped(scale: Fraction) -> list[Fraction]:
        return [min(max(scale * amount, Fraction(1)), Fraction(slot.size)) for amount, slot in zip(amounts, slots)]

    def total(scale: Fraction) -> Fraction:
        return sum(clipped(scale), Fraction(0))

    # The total is linear between the scales at which a part leaves its minimum or reaches its maximum.
    scales = sorted({Fraction(bound) / amount for amount, slot in zip(amounts, slots) for bound in (1, slot.size)})
    above = bisect.bisect_left(scales, target, key=total)
    if above == 0:
        return clipped(scales[0])
    low, high = scales[above - 1:above + 1]
    return clipped(low + (high - low) * (target - total(low)) / (total(high) - total(low)))


def _round_to_integers(parts: Sequence[Fraction]) -> tuple[int, ...]:
    """Integers with the same sum: the parts rounded down, except for those with the largest remainders."""

    counts = [int(part) for part in parts]
    missing = int(sum(parts)) - sum(counts)
    by_remainder = sorted(range(len(parts)), key=lambda layer: counts[layer] - parts[layer])
    for layer in by_remainder[:missing]:
        counts[layer] += 1
    return tuple(counts)


def _refuse_too_few(slots: Sequence[Slot], target: Fraction) -> None:
    """Raise an LthError if there are fewer weights than layers."""

    if target < len(slots):
        total = sum(slot.size for slot in slots)
        density = next(masks.sufficient_shares(total, len(slots)))
        raise LthError(
            f'{int(target)} weights are too few for {len(slots)} layers: one, such as {slots[0].name}, would be empty. '
            f'Keep at least {len(slots)} of the {total}: a density of {density}.')


def _refuse_too_few_for_others(slots: Sequence[Slot], target: Fraction, fixed: Fraction) -> None:
    """Raise an LthError if the classifier's weights leave less than one weight for each other layer."""

    least = fixed + len(slots) - 1
    if target < least:
        total, enough, last = sum(slot.size for slot in slots), math.ceil(least), slots[-1]
        density = next(masks.sufficient_shares(total, enough))
        raise LthError(
            f'smart-ratio keeps {float(fixed):.6g} of the {last.size} weights of the classifier, {last.name}, and one '
            f'or more in each of the other {len(slots) - 1} layers: {int(target)} in total are too few. Keep at least '
            f'{enough} of the {total}, a density of {density}; or, with the algorithm '
            'smart-ratio, a smaller share of the classifier (algorithm.classifier).')
