"""What a run found, as rows of numbers; screens, tables and pages are made of them."""
