"""Text on the ground floor: tokenizers, their export to Hugging Face's format, and proofs that ids are equal."""
