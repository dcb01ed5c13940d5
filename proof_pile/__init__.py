"""Builds a corpus of mathematical text and code: raw sources to tokenized shards in a mixture."""
