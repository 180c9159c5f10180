"""Compaction: a network without the units and channels that carry nothing, as a network of smaller layers.

    compacted = compact(module, images)

A unit carries nothing if nothing reads it, or if it has the same output for every image, which the biases of the layers
after it can take over. `graph.py` writes the module as a list of operations, `features.py` and `rules.py` find which
channels each operation computes and which of them are constant, `removal.py` decides what goes, `slicing.py` removes
it, and `source_code.py` writes the result as a Python file that needs nothing but torch.
"""
