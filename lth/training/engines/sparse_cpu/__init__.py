"""The sparse CPU engine: compiled loops over the surviving weights."""
