"""The recall loop of DeepSeekMath: from a few seeds to the mathematical pages of a large pool.

    seeds, pool -> pages -> train -> score -> rank -> new seeds -> train -> ... -> collected pages

    config      RECALL.yml
    pages       step: documents -> lines of a classifier, and a table of their addresses
    training    step: a fastText model of a round, from seeds and pages of the pool
    scoring     step: the score of each page
    ranking     step: which pages are taken, which domains and address prefixes hold mathematics, how much is new
    collecting  step: the taken pages as Parquet, ready to be a source of a recipe
    samples     step: pages at the threshold and away from it, for people to read
    rounds      which steps there are and what each is given; run by the engines of the build
    report      the rounds as JSON, Markdown and a page of HTML

Every step is a step of llemma.core.steps: killed at any point, the same command goes on and leaves the same bytes.
"""
