"""Small image files and archives of them, for the tests of image sources."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB", suffix: str = "png") -> bytes:
    """An image file of random pixels, `size` wide and high."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    image = Image.new(mode, size)
    image.putdata([tuple(pixel) if bands > 1 else int(pixel[0]) for pixel in pixels.reshape(-1, bands)])
    buffer = io.BytesIO()
    image.save(buffer, {"jpg": "JPEG"}.get(suffix, suffix.upper()))
    return buffer.getvalue()


def pixels(content: bytes) -> np.ndarray:
    """What Pillow reads from an image file, as u8 [H, W, C]."""
    array = np.asarray(Image.open(io.BytesIO(content)))
    return array[..., None] if array.ndim == 2 else array


def two_classes(
    per_class: int = 3, parts: tuple[str, ...] = ("train/", "test/"), prefix: str = "set/"
) -> dict[str, bytes]:
    """Name to content of `per_class` images each of the classes cat and dog in every part."""
    folders = [f"{prefix}{part}{name}" for part in parts for name in ("cat", "dog")]
    names = [f"{folder}/{number}.png" for folder in folders for number in range(per_class)]
    return {name: picture(seed) for seed, name in enumerate(names)}


def write(path: Path, files: dict[str, bytes]) -> Path:
    """Put files, and folders whose name ends in /, into a folder or, by its suffix, an archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    elif ".tar" in path.name:
        mode = {"gz": "w:gz", "xz": "w:xz"}.get(path.name.rsplit(".")[-1], "w")
        with tarfile.open(path, mode) as archive:
            for name, content in files.items():
                kind = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
                add(archive, name.rstrip("/"), content, kind)
    else:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).mkdir() if name.endswith("/") else (path / name).write_bytes(content)
    return path


def add(
    archive: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields
) -> None:
    """Add one member of any type to a tar."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(content))
