"""The tests; this file is imported before theirs, and so before torch, which reads the environment only once."""
import os

# Threads that spin while they wait cost 4-40 times on a busy machine.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
