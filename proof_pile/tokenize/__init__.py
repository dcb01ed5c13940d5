"""From documents to token shards: train a tokenizer, encode documents, merge shards."""
