"""Scores language models on mathematics: benchmarks as lm-eval tasks, answers judged by `eval_tasks.answers`."""
