r"""From the TeX files of a paper to one text: a scan for comments and \input, one for macros, policies at the end.

names       which control sequences and environments mean what, and the table that the scans look them up in
surface     first scan (native), one file: comments, verbatim parts, \endinput, where other files are read in
project     files of a paper: encodings, main files, \input resolved
machine     second scan (native), whole text: definitions, calls, conditionals, blank lines, marks for the policies
groups      arguments and groups as the native scans read them
policies    what is cut by the marks: preamble, bibliography, appendix, front matter, drawings
paper       all of it in order: files in, documents out
redpajama   RedPajama's rules for comparison, faults included
"""
