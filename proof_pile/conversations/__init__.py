"""Questions with answers made into shards for fine-tuning: tokens, and beside them what the loss counts.

records.py       JSON lines or Parquet -> Example (a conversation; for kto whether it was wanted, for dpo what lost)
chat_format.py   how a conversation is written as text and control tokens, and which part of it the model must say
encode.py        Example -> token ids and labels
shards.py        all examples of all sources -> OUT, which `llemma plan --data OUT/mixture.json` takes
"""
