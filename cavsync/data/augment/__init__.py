"""Random changes of a clip's frames and audio for training."""
