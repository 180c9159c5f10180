"""Training of tickets found by another run: finetuning, controls, transfer."""
