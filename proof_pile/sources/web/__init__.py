"""From the bytes of a web page to its text with every equation between dollar signs.

charset.py     bytes -> markup: which encoding, whether the page is cut off
prefilter.py   whether a page is worth parsing, told from its bytes
markup.py      markup -> text runs and tags; raw elements (scripts, comments, <math>) taken out first
tags.py        what a tag means: block, link, boilerplate, rendered formula
writer.py      runs and tags -> prose with marks for blocks, code and formulas
tables.py      cells -> Markdown rows, or plain blocks where the table is only a layout
equations.py   delimiters of MathJax, KaTeX and their kin in the prose -> formulas
mathml.py      MathML -> LaTeX;  asciimath.py: AsciiMath -> LaTeX;  images.py: pictures of formulas -> LaTeX
prose.py       marks -> paragraphs; lines of boilerplate go
warc.py        WARC files -> records
"""
