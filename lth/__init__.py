"""lth: the workbench for lottery tickets and rare gems, sparse subnetworks that train as well as the dense network."""

__version__ = '0.1.0'
