"""From run records to tables: loading, statistics, and the files of results/. Nothing here imports torch."""
