"""Multiruns here, on SLURM, or on Ray. Torch, submitit and Ray are imported late."""
