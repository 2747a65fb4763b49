"""Grids and Optuna studies of runs, resumable, without a server."""
