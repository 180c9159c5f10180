"""Registrations that end with a test."""
import pytest

from lth.registry.registry import BaseRegistry


def forget_registrations(monkeypatch: pytest.MonkeyPatch, *registries: BaseRegistry) -> None:
    """Let the registries forget what is registered from now on, at the end of the test."""

    for registry in registries:
        for entries in ('_entries', '_names', '_origins', '_aliases'):
            monkeypatch.setattr(registry, entries, dict(getattr(registry, entries)))
