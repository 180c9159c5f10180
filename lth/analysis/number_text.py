"""Numbers that may be negative, as text."""


def signed(value: float, form: str = '.2f', *, plus: bool = False) -> str:
    """A number in a format, with a minus sign (−) if it is negative and not rounded to 0, and with `plus` also with a
    plus sign.
    """

    text = f'{value:{"+" * plus}z{form}}'
    return f'−{text[1:]}' if text.startswith('-') else text  # not the sign of an exponent
