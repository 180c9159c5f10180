"""Sparse training: one training in which the mask moves, by one generator and a method that says how."""
