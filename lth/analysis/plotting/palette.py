"""Colors and markers that can be told apart in print and with color blindness."""
from itertools import pairwise

from lth.analysis.plotting.series import Marker

# Okabe & Ito 2008, without black and yellow, which cannot be read on a dark and on a white page.
_COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9')
MARKERS: tuple[Marker, ...] = ('circle', 'square', 'triangle', 'diamond', 'cross', 'plus')
# Of a color that is mixed with white for the last of its shades; the first is the color itself.
_LIGHTEST = 0.65
# Points of matplotlib's map viridis, whose lightness rises evenly, without its darkest and lightest part.
_SCALE = ('#414487', '#2a788e', '#22a884', '#7ad151')


def color(number: int) -> str:
    """The color of the series with this number; they repeat after six."""

    return _COLORS[number % len(_COLORS)]


def repetition(number: int) -> int:
    """How many series before the one with this number had its color."""

    return number // len(_COLORS)


def marker(number: int) -> Marker:
    """The marker of the series with this number. Series of equal color differ in their markers for 36 numbers."""

    return MARKERS[(number + repetition(number)) % len(MARKERS)]


def scale(count: int) -> list[str]:
    """Colors for things in an order, such as rounds: from dark blue to light green."""

    positions = [number / max(count - 1, 1) * (len(_SCALE) - 1) for number in range(count)]
    return [_mixture(position) for position in positions]


def shades(number: int, count: int) -> list[str]:
    """Colors for things in an order that belong to the series with this number: its color, and lighter ones."""

    return [_mixed(color(number), '#ffffff', _LIGHTEST * step / max(count - 1, 1)) for step in range(count)]


def _mixture(position: float) -> str:
    """The color at a position between two points of the scale."""

    first = min(int(position), len(_SCALE) - 2)
    start, end = list(pairwise(_SCALE))[first]
    return _mixed(start, end, position - first)


def _mixed(start: str, end: str, share: float) -> str:
    """A color between two others, of which the second has this share."""

    parts = [round((1 - share) * int(start[at:at + 2], 16) + share * int(end[at:at + 2], 16)) for at in (1, 3, 5)]
    return '#' + ''.join(f'{part:02x}' for part in parts)
