"""Registries of models, data sets, criteria and so on by name, with entries of lth, of plug-ins and of the user."""
