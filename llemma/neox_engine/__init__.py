"""Our entry inside GPT-NeoX's process: started by torchrun, in the user's own, unmodified checkout.

Imports as little as it can: it must run in an environment that was made for GPT-NeoX, without our other packages.
"""
