"""Pruning at initialization: masks chosen before any weight is trained."""
