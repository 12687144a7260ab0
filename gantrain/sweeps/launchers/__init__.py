"""Where the runs of a sweep run: here, side by side, on Slurm."""
