"""Experiments: a recipe as a plan, run seed by seed, and runs derived from the rounds of other runs."""
