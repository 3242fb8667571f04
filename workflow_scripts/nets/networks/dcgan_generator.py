"""DCGAN's generator: `(latents [B, latent_dim, 1, 1], …)` to images, for the method `gan`."""

from workflow_scripts.nets.dcgan import DcganGenerator as dcgan_generator

__all__ = ["dcgan_generator"]
