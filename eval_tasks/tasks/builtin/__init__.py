"""The built-in problems, written for this library."""
