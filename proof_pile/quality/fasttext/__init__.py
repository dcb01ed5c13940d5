"""fastText's linear classifier (Joulin et al., arXiv 1607.01759) without its C++ library.

model      a model in memory; fastText's own files (.bin, .ftz) read and .bin written
kernels    Numba: words, hashes, n-grams, scores, one epoch of training
training   a model from labelled lines: the same bytes for the same lines, settings and seed on every machine
"""
