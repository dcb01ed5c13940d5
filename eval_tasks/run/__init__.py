"""Runs a model over benchmarks and scores what it says."""
