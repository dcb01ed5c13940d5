"""The benchmarks: a folder each, with lm-eval YAML files, prompts and a README."""
