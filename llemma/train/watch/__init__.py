"""What a training tells of itself: files, a terminal, trackers, and texts that the model writes."""
