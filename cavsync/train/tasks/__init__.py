"""What a run learns: pretraining or classification."""
