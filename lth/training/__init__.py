"""Training: what is trained (task), learning rates (lr_schedules), train and measure (loop), how steps run (engines)."""
