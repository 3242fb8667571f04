"""From the bytes of one image file to an array of the size and channels that the settings ask for."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from workflow_scripts.core.errors import PipelineError, shorten

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
# No more decoders than the suffixes need: each is a way in for damaged files.
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "WEBP")
MAX_PIXELS = 50_000_000
FILTERS = {name: Image.Resampling[name.upper()] for name in ("box", "bilinear", "bicubic", "lanczos")}
MODES = {"L": "grey", "RGB": "colour"}


@dataclass(frozen=True)
class Rule:
    """How images must end up: `image_size` pixels a side, `channels` 1 or 3, `resize` in FILTERS or None."""

    image_size: int
    channels: int
    resize: str | None

    @property
    def mode(self) -> str:
        return {1: "L", 3: "RGB"}[self.channels]

    def describe(self, mode: str) -> str:
        """Say in words what becomes of images of Pillow's `mode`."""
        text = f"{MODES[mode]} images"
        if mode != self.mode:
            text += f" converted to {'colour' if mode == 'L' else 'grey by ITU-R 601 luma'}"
        if self.resize is None:
            return f"{text}, in the size they have"
        square = f"{self.image_size} x {self.image_size}"
        return f"{text}, shorter side resized to {self.image_size} by {self.resize}, centre {square} kept"


def decode(content: bytes, rule: Rule, where: str) -> tuple[np.ndarray, str]:
    """Decode an image to u8 `[image_size, image_size, channels]`; returns it and the stored mode, L or RGB.

    An EXIF orientation is applied first. Grey becomes three equal colours, colour becomes grey by ITU-R 601
    luma. With `resize` the shorter side becomes `image_size`, the longer one keeps the ratio (rounded, half
    up), and the centre is kept (an odd pixel is cut from the right or the bottom). PipelineError starting
    with `where` for a file that does not decode to its end, is not one 8-bit grey or RGB image, has more
    than MAX_PIXELS, or has another size and no `resize`.
    """
    size = rule.image_size
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            _require_few_pixels(opened.size, where)
            if found := _not_plain(opened, content):
                raise PipelineError(
                    f"{where} has {found}; save it as one 8-bit grey or RGB image without alpha"
                )
            opened.load()
            image = ImageOps.exif_transpose(opened)
    except (PipelineError, MemoryError):
        raise
    except Exception as error:  # a decoder that meets damaged bytes may raise anything
        unknown = isinstance(error, Image.UnidentifiedImageError)
        reason = "no known image format" if unknown else shorten(error) or type(error).__name__
        raise PipelineError(
            f"{where} does not decode ({reason}); replace it, or save it anew without text or other metadata"
        ) from error
    mode = image.mode
    if mode != rule.mode:
        image = image.convert(rule.mode)
    if rule.resize is not None:
        image = _resize_and_crop(image, size, FILTERS[rule.resize], where)
    elif image.size != (size, size):
        raise PipelineError(
            f"{where} has {image.width} x {image.height} pixels, data.image_size is {size}; make all images "
            f"{size} x {size}, or name a filter in data.resize ({', '.join(FILTERS)})"
        )
    return np.asarray(image).reshape(size, size, rule.channels), mode


def _not_plain(opened: Image.Image, content: bytes) -> str:
    """Say what the file holds that is not one 8-bit grey or RGB image, though Pillow may make one of it."""
    if opened.mode not in MODES:
        return f"Pillow's mode {opened.mode}"
    if "transparency" in opened.info:
        return "a transparent colour"
    several = getattr(opened, "n_frames", 1) > 1
    for decoder, _, start, stored in opened.tile:
        args = (stored,) if isinstance(stored, str) else stored
        if args[0] not in ("L", "RGB", "BGR"):
            return f"values stored as {args[0]}"
        if decoder.startswith("ppm") and args[1] != 255:
            return f"values up to {args[1]}"
        if opened.format == "PPM" and decoder == "raw":  # the next image follows without a word
            several = bool(content[start + opened.width * opened.height * len(args[0]) :].strip())
    return "more than one image" if several else ""


def _resize_and_crop(image: Image.Image, size: int, resample: Image.Resampling, where: str) -> Image.Image:
    shorter = min(image.size)
    width, height = ((2 * side * size + shorter) // (2 * shorter) for side in image.size)
    # a line one pixel high would become millions of pixels wide
    _require_few_pixels((width, height), where)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), resample).crop((left, top, left + size, top + size))


def _require_few_pixels(size: tuple[int, int], where: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise PipelineError(
            f"{where} has {size[0]} x {size[1]} pixels, more than the {MAX_PIXELS:,} allowed; make it smaller"
        )
