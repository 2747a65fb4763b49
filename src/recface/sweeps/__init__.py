"""W&B sweep files without a server: read, enumerate, run, watch. Nothing here imports torch."""
