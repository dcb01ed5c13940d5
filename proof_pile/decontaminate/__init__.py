"""Decontamination: documents that hold the text of a benchmark's test items are marked, with what was found.

    index    one task                      the benchmark texts as hashes of their words
    search   one task a documents file     marks beside the documents

Two rules (llemma.core.text.normalized_words says what a word is):
    a long item is found by any `ngram` of its words in a row, operators left out, so that typography does not hide it;
        runs with fewer than three words of two letters or more do not count: they are number lists that stand anywhere;
    a short item (fewer than `ngram` such words, or no run that counts) is found only as a whole, operators included.
An item of fewer than `min_words` words and operators, or of fewer than eight without a digit among them ("find the
value of x"), is a phrase that stands in documents by chance: it is not looked for, but counted.
"""
