"""Masks, pruning, tickets and controls, as functions on tensors."""
