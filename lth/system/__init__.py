"""Files, locks, processes and memory: everything that depends on the operating system, and nothing about networks."""
