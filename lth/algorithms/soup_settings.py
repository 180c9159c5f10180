"""The settings of algorithms whose rounds train several copies and average them, see lth/pruning/soups.py."""
from typing import Annotated

from pydantic import Field

from lth.pruning.soups import Soup

MOST_COPIES = 64
Copies = Annotated[int, Field(
    ge=1, le=MOST_COPIES,
    description='Number of networks that each round trains, which differ in the order of the images.')]
SoupChoice = Annotated[Soup, Field(
    description='Average all copies, or only those that raise the validation accuracy.')]
