"""The launcher: starts what a run directory says, on the embedded trainer or on GPT-NeoX, and decides nothing."""
