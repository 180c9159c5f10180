"""The CUDA engine: training steps captured as CUDA graphs."""
