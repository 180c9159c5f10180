"""One network on several GPUs: the processes of torchrun each train on a part of every batch.

engine.py is the engine, ranks.py how the processes exchange values.
"""
