from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.unit.data.picture_files import picture, pixels
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.data import pictures
from workflow_scripts.data.pictures import Rule, decode

PLAIN = Rule(image_size=8, channels=3, resize=None)


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_lossless_files_come_out_as_they_are(suffix, mode):
    content = picture(0, mode=mode, suffix=suffix)
    array, found = decode(content, Rule(8, {"RGB": 3, "L": 1}[mode], None), "x")
    assert found == mode and array.dtype == np.uint8
    assert np.array_equal(array, pixels(content))


def test_grey_becomes_three_equal_colours_and_colour_becomes_luma():
    grey, colour = picture(0, mode="L"), picture(1)
    array, mode = decode(grey, PLAIN, "x")
    assert mode == "L" and np.array_equal(array, pixels(grey).repeat(3, axis=2))
    array, mode = decode(colour, Rule(8, 1, None), "x")
    # ITU-R 601: 0.299 R + 0.587 G + 0.114 B; Pillow computes in fixed point, so off by one at most
    luma = pixels(colour) @ np.array([0.299, 0.587, 0.114])
    assert mode == "RGB" and np.abs(array[..., 0] - luma).max() <= 1


def test_another_size_needs_a_resize_filter():
    with pytest.raises(PipelineError, match=r"^here has 9 x 8 pixels, data.image_size is 8.*data.resize"):
        decode(picture(0, size=(9, 8)), PLAIN, "here")


@pytest.mark.parametrize("name", list(pictures.FILTERS))
@pytest.mark.parametrize("size", [(20, 16), (16, 23), (5, 9), (8, 8)])
def test_resize_takes_the_shorter_side_and_keeps_the_centre(name, size):
    content = picture(0, size=size)
    array, _ = decode(content, Rule(8, 3, name), "x")
    ratio = 8 / min(size)
    width, height = (int(side * ratio + 0.5) for side in size)
    resized = np.asarray(Image.open(io.BytesIO(content)).resize((width, height), pictures.FILTERS[name]))
    top, left = (height - 8) // 2, (width - 8) // 2
    assert np.array_equal(array, resized[top : top + 8, left : left + 8])


def test_an_exif_orientation_is_applied():
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 3)
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    array, _ = decode(buffer.getvalue(), Rule(8, 1, None), "x")
    assert np.array_equal(array[..., 0], np.asarray(image)[::-1, ::-1])


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_damaged_and_foreign_content_does_not_decode(suffix):
    content = picture(0, size=(64, 64), suffix=suffix)
    bad = [content[: int(len(content) * share)] for share in (0.0, 0.2, 0.5, 0.9)]
    flipped = bytearray(picture(0, size=(64, 64)))
    flipped[len(flipped) // 2] ^= 0xFF
    for altered in (*bad, bytes(flipped), b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 100):
        with pytest.raises(PipelineError, match="^here does not decode") as caught:
            decode(altered, Rule(64, 3, None), "here")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chunk", [b"zTXtComment\0\0", b"iTXtComment\0\1\0\0\0", b"iCCPComment\0\0"])
def test_metadata_larger_than_allowed_says_what_to_do(chunk):
    with pytest.raises(PipelineError, match="^here does not decode .*MAX_TEXT_CHUNK.*without text.*metadata"):
        decode(png(8, 2, chunk + zlib.compress(bytes(2**21))), PLAIN, "here")


@pytest.mark.parametrize(
    ("mode", "form", "message"),
    [
        *((mode, "PNG", f"has Pillow's mode {mode}") for mode in ("RGBA", "P", "1", "LA", "I;16")),
        ("RGB", "TIFF", "does not decode"),
    ],
)
def test_other_modes_and_formats_are_refused(mode, form, message):
    buffer = io.BytesIO()
    Image.new(mode, (8, 8)).save(buffer, form)
    with pytest.raises(PipelineError, match=f"^here {message}"):
        decode(buffer.getvalue(), PLAIN, "here")


def png(depth: int, colour: int, *more: bytes, side: int = 8) -> bytes:
    """A PNG of `side` x `side` pixels, all bits 0; `more` are chunks, type and data, before the image."""
    line = bytes(1 + side * {0: 1, 2: 3}[colour] * depth // 8)
    head = struct.pack(">II5B", side, side, depth, colour, 0, 0, 0)
    chunks = [b"IHDR" + head, *more, b"IDAT" + zlib.compress(line * side), b"IEND"]
    packed = [
        struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each)) for each in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def bmp(bits: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, bits, 0, 8 * bits, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 8 * bits, 0, 0, 54) + head + bytes(8 * bits)


def two_frames(form: str) -> bytes:
    buffer, frames = io.BytesIO(), [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, form, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


PPM = b"P6 8 8 255\n" + bytes(192)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(16, 2), "values stored as RGB;16B"),
        (png(4, 0), "values stored as L;4"),
        (png(2, 0), "values stored as L;2"),
        (png(8, 2, b"tRNS" + bytes(6)), "a transparent colour"),
        (png(8, 0, b"tRNS" + bytes(2)), "a transparent colour"),
        (bmp(16), "values stored as BGR;15"),
        (bmp(32), "values stored as BGRX"),
        (b"P6 8 8 4095\n" + bytes(384), "values up to 4095"),
        (b"P6 8 8 65535\n" + bytes(384), "values up to 65535"),
        (b"P5 8 8 15\n" + bytes(64), "values up to 15"),
        (b"P3 8 8 15\n" + b"0 " * 192, "values up to 15"),
        (PPM + PPM, "more than one image"),
        *((two_frames(form), "more than one image") for form in ("PNG", "WEBP", "MPO")),
    ],
)
def test_what_pillow_would_make_plain_8_bit_without_a_word_is_refused(content, message):
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        assert opened.mode in pictures.MODES
    with pytest.raises(PipelineError, match=f"^here has {message}; save it as one 8-bit grey or RGB image"):
        decode(content, PLAIN, "here")


@pytest.mark.parametrize(
    "content", [png(8, 2), png(8, 0), bmp(24), PPM, PPM + b"\n", b"P3 8 8 255\n" + b"0 " * 192]
)
def test_plain_8_bit_images_pass(content):
    assert not decode(content, PLAIN, "x")[0].any()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8000, 12000, 30000])
def test_a_decompression_bomb_is_refused_by_its_header(side):
    buffer = io.BytesIO()
    Image.new("1", (8, 8)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = side.to_bytes(4, "big") * 2  # IHDR: width and height
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    with pytest.raises(PipelineError, match="^here (has .* pixels, more than|does not decode)"):
        decode(bytes(content), PLAIN, "here")


def test_a_line_is_not_blown_up(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 10_000)
    decode(picture(0, size=(50, 1)), Rule(8, 3, "box"), "x")
    with pytest.raises(PipelineError, match="^here has 24000 x 8 pixels, more than"):
        decode(picture(0, size=(3000, 1)), Rule(8, 3, "box"), "here")
