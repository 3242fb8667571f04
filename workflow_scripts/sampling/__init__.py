"""Drawing images from a trained network: respaced timesteps, DDPM, DDIM, counted noise. The model is a callable."""
