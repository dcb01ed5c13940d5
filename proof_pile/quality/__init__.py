"""Learned and statistical quality of text: what the filters language, math-score, perplexity, quality-rules ask.

prose        text without formulas, LaTeX and code, and the words that a classifier sees (Numba over bytes)
fasttext/    fastText's classifier: its files read and written, training and scoring (Numba, one thread, same bytes)
math_score   the score of OpenWebMath: how likely a text whose LaTeX was taken out had some
languages    which language a text is in
perplexity   KenLM models, asked as cc_net asks them
rules        counts of words, lines and characters of a text, in one pass
models/      the small model that comes with this package, and the record of how it was made
"""
