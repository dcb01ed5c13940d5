"""Checkpoints between Hugging Face's layout and GPT-NeoX's: `llemma convert`."""
