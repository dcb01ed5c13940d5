"""Llama: its weights in and out, its layers in one process or in slices, and its loss."""
