"""Gaussian diffusion: schedules, forward process, prediction types, loss weighting, objectives."""
