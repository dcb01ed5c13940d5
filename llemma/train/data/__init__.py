"""Samples in GPT-NeoX's order, what goes with them, and the batches that steps read, drawn ahead of them."""
