"""What a run shows: evaluation, sanity checks, mode connectivity, and statistics over seeds."""
