"""Training tasks: pretraining and classification."""
