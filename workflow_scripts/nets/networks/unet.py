"""The U-Net for images of any size."""

from workflow_scripts.nets.unet import UNet as unet

__all__ = ["unet"]
