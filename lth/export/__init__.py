"""Tickets for other code: as torch modules and masks by name."""
