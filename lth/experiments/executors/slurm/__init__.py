"""The executor `slurm`: tasks as jobs of a Slurm cluster with a shared file system, submitted by submitit.

A task is `run_plan` on a node. So it holds the locks of its seeds and writes their rounds itself, and nothing depends
on the process that submitted it: that one reads the events of the task from a file, and so can the next one.
"""
from lth.experiments.executors.slurm.executor import SlurmExecutor

__all__ = ['SlurmExecutor']
