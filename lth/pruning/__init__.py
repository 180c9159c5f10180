"""Masks and tickets: criteria, mask actions, layer densities, controls, and what a mask leaves of a network."""
