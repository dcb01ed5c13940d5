"""A stand-in for GPT-NeoX of its shape: the same modules, calls and files of DeepSpeed's, around eight weights.

Its numbers are whole, so that any number of processes gives the same weights to the last bit.
"""
