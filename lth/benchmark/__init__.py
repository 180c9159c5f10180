"""How fast: the usual way and every engine that applies, turn by turn in one run, each in a process of its own."""
