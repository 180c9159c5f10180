"""Machine code of the sparse engine: training steps and evaluation of the kept weights, 64 images at a time.

The activations of 64 images (the lanes) are rows of a table. Row 0 is constantly 1, then come the inputs that are read,
then the units, layer by layer. A kept weight is one multiplication of a row and one addition; a bias is a weight of row
0. Dense layers are one sparse matrix over all units (CSR); convolutions come before it (convolutions.py).

compiler.py compiles and caches · lanes.py and shuffles.py are vector instructions · data.py has what kernels read and
write · dense.py and convolutions.py are the layers · steps.py is what the engine calls.
"""
