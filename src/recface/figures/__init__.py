"""Pages and pictures; drawing functions take plain data, and leave the choice of runs to their callers."""
