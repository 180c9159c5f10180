"""Training of tickets that another run found: finetuning, controls, transfer."""
