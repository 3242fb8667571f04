"""The U-Net for 32 x 32 images: a name that a study has locked."""

from workflow_scripts.nets.unet import UNet as unet_cifar32

__all__ = ["unet_cifar32"]
