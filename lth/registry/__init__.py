"""Names: registries of models, data sets, criteria and so on, filled by lth, by plug-ins and by the user's own code."""
