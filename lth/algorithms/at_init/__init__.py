"""Pruning at initialization: masks that are selected before any weight is trained."""
