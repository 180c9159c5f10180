"""Training: the data types (state, task), learning rates (lr_schedules), the loop that trains and measures, engines."""
