"""Files, locks, processes and memory: what lth needs from the operating system. Nothing here knows of networks."""
