from __future__ import annotations

import tarfile
import zipfile

import numpy as np
import pytest

from tests.unit.data.picture_files import add, write
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.data import archives
from workflow_scripts.data.archives import read_members

FILES = {
    "set/b/2.png": b"two" * 1000,
    "set/a/1.png": b"one",
    "set/.hidden": b"x",
    "set/notes.txt": b"notes",
    "set/empty/": b"",
    "__MACOSX/set/a/1.png": b"x",
}
KINDS = ["set", "set.zip", "set.tar", "set.tar.gz", "set.tar.xz"]


def read(path):
    return list(read_members(path, wanted=lambda name: name.endswith(".png")))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_wanted_files_and_the_names_of_the_rest(tmp_path, kind, monkeypatch):
    path = write(tmp_path / kind, FILES)
    monkeypatch.chdir(tmp_path)
    members = read(path)
    assert {name: content for name, _, content in members if content is not None} == {
        "set/a/1.png": b"one",
        "set/b/2.png": b"two" * 1000,
    }
    assert ("set/notes.txt", False, None) in members and ("set/empty", True, None) in members
    assert not any("hidden" in name or "MACOSX" in name for name, _, _ in members)
    assert list(tmp_path.iterdir()) == [path]  # nothing was unpacked


DAMAGES = [(kind, damage) for kind in KINDS[1:] for damage in (0.0, 0.3, 0.6, 0.8, "a flipped bit")]
DAMAGES.remove(("set.tar", "a flipped bit"))  # a plain tar has no checksum of its files


@pytest.mark.parametrize(("kind", "damage"), DAMAGES)
def test_a_damaged_archive_is_named(tmp_path, kind, damage):
    generator = np.random.default_rng(0)  # bytes that do not compress, so that every damage hits some file
    path = write(tmp_path / kind, {f"a/{number}.png": generator.bytes(5000) for number in range(8)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if damage == "a flipped bit" else content[: int(len(content) * damage)])
    with pytest.raises(PipelineError, match=f"cannot read .*{kind} ") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "header"])
def test_a_plain_tar_that_ends_early_is_not_taken_for_a_smaller_one(tmp_path, damage):
    path = write(tmp_path / "set.tar", {f"a/{number}.png": bytes([number]) * 1024 for number in range(8)})
    content, fifth = bytearray(path.read_bytes()), 4 * (512 + 1024)
    content[fifth] ^= 1  # in the name of the fifth file, so that its header's checksum is wrong
    path.write_bytes(content[:fifth] if damage == "cut" else content)
    with pytest.raises(PipelineError, match="its end is missing"):
        read(path)


@pytest.mark.parametrize(("name", "content"), [("set.zip", b"PK but not a zip"), ("set.tar", b"hello")])
def test_another_file_and_a_missing_one_are_named(tmp_path, name, content):
    for _ in range(2):
        with pytest.raises(PipelineError, match=f"cannot read .*{name} .*put an intact folder"):
            read(tmp_path / name)
        (tmp_path / name).write_bytes(content)


OUTSIDE = ["../evil.png", "/etc/evil.png", "a/../../evil.png", "..\\evil.png", "a\\..\\..\\evil.png"]
OUTSIDE += ["\\etc\\evil.png", "\\\\host\\share\\evil.png", "C:\\evil.png", "C:evil.png", "a\\..\\.evil.png"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
def test_a_name_that_leads_outside_is_refused(tmp_path, kind, name):
    with pytest.raises(PipelineError, match="leads outside"):
        read(write(tmp_path / kind, {name: b"evil"}))


def test_a_zip_with_backslashes_is_read_as_windows_meant_it(tmp_path):
    usual = read(write(tmp_path / "usual.zip", FILES))
    path = write(tmp_path / "windows.zip", {name.replace("/", "\\"): FILES[name] for name in FILES})
    assert read(path) == usual
    write(tmp_path / "set.zip", {"a/1.png": b"one", "a\\1.png": b"other"})
    with pytest.raises(PipelineError, match="holds 'a/1.png' twice"):
        read(tmp_path / "set.zip")
    with pytest.raises(PipelineError, match="leads outside"):  # a tar's names are not Windows'
        read(write(tmp_path / "set.tar", {"a\\evil.png": b"evil"}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused_even_when_hidden(tmp_path, kind):
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        add(archive, "a/1.png", b"one")
        add(archive, ".hidden", kind=kind, linkname="a/1.png")
    with pytest.raises(PipelineError, match="'.hidden' is a link, a device"):
        read(tmp_path / "set.tar")


def test_an_encrypted_file_is_refused(tmp_path):
    path = write(tmp_path / "set.zip", {"a/1.png": b"one"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(content)
    with pytest.raises(PipelineError, match="'a/1.png'.* is encrypted, .*without a password"):
        read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
def test_a_name_given_twice_is_refused(tmp_path, kind):
    with pytest.raises(PipelineError, match="holds 'a/1.png' twice"):
        read(write(tmp_path / kind, {"a/1.png": b"one", "a/./1.png": b"other"}))


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_on_a_file(tmp_path, kind, monkeypatch):
    path = write(tmp_path / kind, {"a/1.png": b"1" * 600, "a/2.txt": b"2" * 6000})
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 600)
    read(path)
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 599)
    with pytest.raises(PipelineError, match="'a/1.png' has 600 bytes, more than the 599 allowed"):
        read(path)


def test_a_zip_that_lies_about_a_size_gives_no_more_than_it_says(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(2**20))
    content, size = (tmp_path / "set.zip").read_bytes(), (2**20).to_bytes(4, "little")
    assert content.count(size) == 2
    (tmp_path / "set.zip").write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(PipelineError, match="cannot read"):
        read(tmp_path / "set.zip")
