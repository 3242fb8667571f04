"""The small U-Net of DDPM walkthroughs."""

from workflow_scripts.nets.plain_unet import PlainUNet as plain_unet

__all__ = ["plain_unet"]
