"""Where the runs of `run.py -m` take place: here, on SLURM, on Ray. Torch, submitit and Ray are imported late."""
