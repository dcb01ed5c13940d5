"""Duplicates over all sources: exact ones by content, near ones by MinHash, both out of core.

    fingerprints      one task a documents file     what is compared, sorted into partitions
    exact             one task a partition          documents of the same content
    nearduplicates    one task a partition          pairs that share a band and are similar enough
    clusters          one task                      clusters of pairs, which document stays, marks beside the documents

No task holds more than one partition of the keys; signatures are read where they lie, by memory map.

Which of several duplicates stays: the one whose source stands first in the recipe; there the longest (bytes of text);
then the smallest id; then the first in the input.  It is one order for both kinds, so what an exact duplicate points to
is never removed in favour of another of the same content.
"""
