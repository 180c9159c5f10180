"""HTML that is made of elements. Text is escaped unless it is Markup, so no name can become a tag.

    element('p', 'a < b', class_='note')    # <p class="note">a &lt; b</p>
"""
import html
import json
from typing import Any, NewType

from lth.errors import printable

Markup = NewType('Markup', str)
_VOID = ('meta', 'link')


def escape(text: str) -> Markup:
    """The text in HTML, with control characters as Python writes them."""

    return Markup(html.escape(printable(text)))


def element(tag: str, /, *children: Markup | str, **attributes: str) -> Markup:
    """An element. An underscore at the end of an attribute's name is left out, others are hyphens. Strings are Markup
    only if they are made by the functions of this file: pass text through `escape`.
    """

    start = ''.join(f' {_attribute(key)}="{escape(value)}"' for key, value in attributes.items())
    end = '' if tag in _VOID else f'</{tag}>'
    return Markup(f'<{tag}{start}>{"".join(children)}{end}')


def text_element(tag: str, text: str, /, **attributes: str) -> Markup:
    """An element that holds text."""

    return element(tag, escape(text), **attributes)


def data_element(identifier: str, data: Any) -> Markup:
    """Data for scripts, as JSON in which no character can end the element."""

    text = json.dumps(data, allow_nan=False)
    for character in '<>&':
        text = text.replace(character, f'\\u{ord(character):04x}')
    return element('script', Markup(text), type='application/json', id=identifier)


def _attribute(key: str) -> str:
    return key.rstrip('_').replace('_', '-')
