"""The model card of a run: README.md as the Hugging Face Hub reads it, with a figure."""
from typing import TYPE_CHECKING

from lth.system.lazy_import import submodules

if TYPE_CHECKING:
    from lth.analysis.model_card import card, citations, content, loading, metadata, sections
else:
    __getattr__ = submodules(__name__)
