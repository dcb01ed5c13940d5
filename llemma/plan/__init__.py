"""The planner: a recipe becomes a checked, estimated run directory that launchers read and decide nothing about."""
