"""The maths of Gaussian diffusion: schedules, forward process, predictions, loss weighting, objectives."""
