"""Overlap of benchmarks, or of what a model wrote, with a corpus: n words in a row that stand in both.

    texts       what is looked for            corpus      where: Parquet or .bin/.idx
    search      one piece of the corpus       report      all pieces together, table and files
    accuracy    right answers on problems that the corpus holds, and on the others

It measures and removes nothing; what is cut out of a corpus is decided by its build (`decontaminate` in a recipe).
"""
