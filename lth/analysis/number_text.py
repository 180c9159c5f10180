"""Numbers that may be negative, and means with their margins, as text."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lth.analysis.statistics import Interval


def signed(value: float, form: str = '.2f', *, plus: bool = False) -> str:
    """A number in a format, with a minus sign (−) if it is negative and not rounded to 0, and with `plus` also with a
    plus sign.
    """

    text = f'{value:{"+" * plus}z{form}}'
    return f'−{text[1:]}' if text.startswith('-') else text  # not the sign of an exponent


def with_margin(value: 'Interval', form: str = '.2f', *, scale: int = 1, plus: bool = False) -> str:
    """A mean and its margin, if it has one, times `scale`: `97.71 ± 0.12`. The mean is written as by `signed`."""

    margin = '' if value.margin is None else f' ± {scale * value.margin:{form}}'
    return signed(scale * value.mean, form, plus=plus) + margin
