"""Checkpoints between Hugging Face's, GPT-NeoX's and Meta's layouts: `llemma convert`."""
