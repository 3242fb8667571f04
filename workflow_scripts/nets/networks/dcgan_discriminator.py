"""DCGAN's discriminator: `(images [B, C, H, W], …)` to logits [B], for `method.discriminator`."""

from workflow_scripts.nets.dcgan import DcganDiscriminator as dcgan_discriminator

__all__ = ["dcgan_discriminator"]
