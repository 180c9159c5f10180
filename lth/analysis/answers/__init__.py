"""What the results of a run say, in words: whether tickets match, gems beat chance, training helps."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.analysis.answers import answer, finetuned, gem, levels, search, words
else:
    __getattr__ = submodules(__name__)
