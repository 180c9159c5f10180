"""Searches that train a mask: scores are learned, weights stay as initialized."""
