"""From a similarity curve to a verdict: offset, confidence, state, and what decisions say together."""
