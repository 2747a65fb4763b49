"""The boundary: one guarded reader for each format of file, names that become paths, and writers of whole files.

Whatever comes from outside is read here, by every room; a file that is damaged, foreign or too large ends in a
`RecfaceError` of one line: the file, the place in it, and what to do.
"""
