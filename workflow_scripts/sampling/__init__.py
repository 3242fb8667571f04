"""Sampling: respaced timesteps, DDPM and DDIM, counted noise, and the loop."""
