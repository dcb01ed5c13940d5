"""One page of a run: what it was trained on, how it went, what it scores."""
