"""Evaluation of localisation: where in a frame the model sees what it hears."""
