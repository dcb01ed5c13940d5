"""What keeps a long run alive: checkpoints that prove themselves whole, and steps that are judged before they count.

Torch is never imported here, so that the embedded trainer and the entry inside GPT-NeoX share one guard.
"""
