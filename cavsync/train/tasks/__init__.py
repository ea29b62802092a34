"""Training tasks: pretraining, classification and the face model."""
