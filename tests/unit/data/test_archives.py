from __future__ import annotations

import io
import lzma
import os
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from tests.unit.data.picture_files import add, write
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.data import archives
from workflow_scripts.data.archives import iterate_members

FILES = {
    "set/b/2.png": b"two" * 1000,
    "set/a/1.png": b"one",
    "set/.hidden": b"x",
    "set/notes.txt": b"notes",
    "set/empty/": b"",
    "__MACOSX/set/a/1.png": b"x",
}
KINDS = ["set", "set.zip", "set.tar", "set.tar.gz", "set.tar.xz"]


def is_png(name):
    return name.endswith(".png")


def read(path):
    return list(iterate_members(path, is_png))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_wanted_files_and_the_names_of_the_rest(tmp_path, kind):
    members = read(write(tmp_path / kind, FILES))
    assert {name: content for name, content, _ in members if content is not None} == {
        "set/a/1.png": b"one",
        "set/b/2.png": b"two" * 1000,
    }
    assert ("set/notes.txt", None, False) in members and ("set/empty", None, True) in members
    assert not any("hidden" in name or "MACOSX" in name for name, _, _ in members)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_nothing_is_unpacked(tmp_path, kind, monkeypatch):
    path = write(tmp_path / kind, FILES)
    monkeypatch.chdir(tmp_path)
    read(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.8])
def test_a_truncated_archive_is_named(tmp_path, kind, share):
    generator = np.random.default_rng(0)  # bytes that do not compress, so that every cut hits some file
    path = write(tmp_path / kind, {f"a/{number}.png": generator.bytes(5000) for number in range(8)})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(PipelineError, match=f"{kind} is truncated, damaged or no"):
        read(path)


def test_a_plain_tar_cut_between_two_members_is_not_taken_for_a_smaller_one(tmp_path):
    path = write(tmp_path / "set.tar", {f"a/{number}.png": bytes([number]) * 1024 for number in range(8)})
    path.write_bytes(path.read_bytes()[: 4 * (512 + 1024)])
    with pytest.raises(PipelineError, match="its end is missing"):
        read(path)


@pytest.mark.parametrize("kind", ["set.zip", "set.tar.gz", "set.tar.xz"])
def test_a_flipped_bit_is_found_by_the_archives_own_checksum(tmp_path, kind):
    path = write(tmp_path / kind, {"a/1.png": np.random.default_rng(0).bytes(50_000)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(PipelineError, match="truncated, damaged"):
        read(path)


def test_a_file_that_is_no_archive_and_a_missing_one_are_named(tmp_path):
    (tmp_path / "set.zip").write_bytes(b"PK but not a zip")
    (tmp_path / "set.tar").write_text("hello")
    for name in ("set.zip", "set.tar"):
        with pytest.raises(PipelineError, match=name):
            read(tmp_path / name)
    with pytest.raises(PipelineError, match="nowhere.tar is missing"):
        read(tmp_path / "nowhere.tar")


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "a\\evil.png"])
@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
def test_a_name_that_leads_outside_is_refused(tmp_path, kind, name):
    with pytest.raises(PipelineError, match="leads outside"):
        read(write(tmp_path / kind, {name: b"evil"}))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (tarfile.SYMTYPE, {"linkname": "/etc/passwd"}),
        (tarfile.LNKTYPE, {"linkname": "a/1.png"}),
        (tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3}),
        (tarfile.BLKTYPE, {}),
        (tarfile.FIFOTYPE, {}),
    ],
)
def test_links_and_devices_in_a_tar_are_refused_even_where_nothing_would_be_read(tmp_path, kind, fields):
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        add(archive, "a/1.png", b"one")
        add(archive, ".hidden", kind=kind, **fields)
    with pytest.raises(PipelineError, match="'.hidden' is a link, a device"):
        read(tmp_path / "set.tar")


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("a/link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(PipelineError, match="'a/link.png' is a link"):
        read(tmp_path / "set.zip")


def test_an_encrypted_member_is_refused(tmp_path):
    path = write(tmp_path / "set.zip", {"a/1.png": b"one"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(content)
    with pytest.raises(PipelineError, match="'a/1.png' is encrypted"):
        read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
def test_a_name_given_twice_is_refused(tmp_path, kind):
    path = write(tmp_path / kind, {"a/1.png": b"one", "a/./1.png": b"other"})
    with pytest.raises(PipelineError, match="'a/1.png' is in it twice"):
        read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_limits_on_members_total_and_file_size(tmp_path, kind, monkeypatch):
    path = write(tmp_path / kind, {"a/1.png": b"1" * 600, "a/2.png": b"2" * 600})
    read(path)
    for limit, value in (("MAX_MEMBERS", 1), ("MAX_TOTAL_BYTES", 1199), ("MAX_FILE_BYTES", 599)):
        with monkeypatch.context() as patch:
            patch.setattr(archives, limit, value)
            with pytest.raises(PipelineError, match=rf"{path.name}: .*more than .*\b{value:,}\b"):
                read(path)


def test_a_bomb_is_stopped_by_what_it_says_before_it_is_unpacked(tmp_path, monkeypatch):
    # 100 MB of zeros in about 15 kB
    with tarfile.open(tmp_path / "set.tar.xz", "w:xz", preset=1) as archive:
        add(archive, "a/1.png", bytes(100 * 2**20))
    assert os.path.getsize(tmp_path / "set.tar.xz") < 50_000
    with pytest.raises(PipelineError, match="'a/1.png' has 104,857,600 bytes, more than"):
        read(tmp_path / "set.tar.xz")


def test_a_zip_that_lies_about_a_size_gives_no_more_than_it_says(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(2**20))
    content = (tmp_path / "set.zip").read_bytes()
    size = (2**20).to_bytes(4, "little")
    assert content.count(size) == 2
    (tmp_path / "set.zip").write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(PipelineError, match="truncated, damaged"):
        read(tmp_path / "set.zip")


def test_a_tar_header_that_grows_without_end_is_stopped(tmp_path):
    # a "long name" of 200 MB, which tarfile would read into memory whole
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 200 * 2**20
    with lzma.open(tmp_path / "set.tar.xz", "wb", preset=1) as handle:
        handle.write(header.tobuf(tarfile.GNU_FORMAT) + b"a" * (20 * 2**20))
    with pytest.raises(PipelineError, match="a header is larger than"):
        read(tmp_path / "set.tar.xz")


def test_many_nested_headers_are_an_error_in_one_line(tmp_path):
    block = io.BytesIO()
    for _ in range(900):
        header = tarfile.TarInfo("././@LongLink")
        header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
        block.write(header.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0"))
    (tmp_path / "set.tar").write_bytes(block.getvalue() + bytes(1024))
    with pytest.raises(PipelineError) as caught:
        read(tmp_path / "set.tar")
    assert "truncated, damaged" in str(caught.value) and "\n" not in str(caught.value)
