"""What a finished build shows of itself: texts for `datasets`, tallies, samples to read, a page and a dataset card."""
