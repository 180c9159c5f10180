"""Training: the data types (task), learning rates (lr_schedules), the loop that trains and measures, the engines."""
