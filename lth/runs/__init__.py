"""The run folder: what a search writes, and how its rounds are read again."""
