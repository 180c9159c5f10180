"""Engines: how training steps are executed. Only this package knows devices, vmap, autocast, CUDA graphs and threads.

The eager engine is the reference for all others. To add an engine, write a class that implements `training.task.Engine`
and return it from `select.select_engine`.
"""
