"""Engines: how a span of steps is executed. The only place that knows devices, vmap, autocast, capture and threads.

The eager engine is the oracle of all others. To add an engine, write a class that fulfils training.task.Engine, and
choose it in select.py."""
