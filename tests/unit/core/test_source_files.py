from __future__ import annotations

import hashlib
import os

import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.source_files import check_name, combined_sha256, describe_source, is_leftover, walk


def digest(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(tmp_path):
    for name, content in {
        "b/2.png": b"two",
        "a/1.png": b"one",
        ".DS_Store": b"x",
        "a/._1.png": b"x",
        "__MACOSX/a/1.png": b"x",
    }.items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "set"


def test_a_folder_is_its_files_by_name_without_leftovers(folder):
    files = describe_source(folder)
    assert files == [("a/1.png", 3, digest(b"one")), ("b/2.png", 3, digest(b"two"))]
    one = describe_source(folder / "a" / "1.png")
    assert one == [("1.png", 3, digest(b"one"))] and combined_sha256(one) == digest(b"one")
    # what `sha256sum a/1.png b/2.png | sha256sum` prints
    listed = f"{digest(b'one')}  a/1.png\n{digest(b'two')}  b/2.png\n"
    assert combined_sha256(files) == combined_sha256(reversed(files)) == digest(listed.encode())


# What Windows, macOS, Linux and NAS devices leave among files, and what only sounds like it.
LEFT = ["thumbs.db", "THUMBS.DB", "Thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "Desktop.INI"]
LEFT += ["a.png:Zone.Identifier", "a.png:zone.identifier:$DATA", "a.png\uf03aZone.Identifier", "Icon\r"]
LEFT += ["lost+found/1.png", "$RECYCLE.BIN/1.png", "System Volume Information/1.png", "@eaDir/1.png/a.jpg"]
LEFT += ["#recycle/1.png", "a/__macosx/1.png", ".hidden\n/1.png", "._Icon\r"]
KEPT = ["lost/1.png", "found/1.png", "a/1.png", "thumbs/1.png", "icon/1.png", "Icon", "Zone.Identifier.png"]


def test_leftovers_are_skipped_in_any_case_even_where_their_names_cannot_be_printed(tmp_path):
    for name in (*LEFT, *KEPT):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        assert is_leftover(name) == (name in LEFT) and check_name(name, path) == name
    assert [file.path for file in describe_source(tmp_path / "set")] == sorted(KEPT)


def test_a_leftover_folder_is_not_opened(folder, monkeypatch):
    (folder / "lost+found").mkdir()  # only root may read it
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scandir(path) if path.name != "lost+found" else 1 / 0)
    walk(folder)


def test_content_and_names_count_and_where_the_folder_lies_does_not(folder):
    before = combined_sha256(describe_source(folder))
    moved = folder.rename(folder.parent / "elsewhere")
    assert combined_sha256(describe_source(moved)) == before
    (moved / "a" / "1.png").write_bytes(b"One")
    assert combined_sha256(describe_source(moved)) != before
    (moved / "a" / "1.png").write_bytes(b"one")
    (moved / "a" / "1.png").rename(moved / "a" / "3.png")
    assert combined_sha256(describe_source(moved)) != before


@pytest.mark.parametrize("name", ["b/link.png", "loop", "pipe"])
def test_links_and_devices_are_refused_by_name(folder, name):
    if name == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to(folder / "a" / "1.png" if name == "b/link.png" else folder)
    with pytest.raises(PipelineError, match=f"'{name}' is a link or a device"):
        walk(folder)


@pytest.mark.parametrize(
    "name",
    ["../a", "a/../../b", "/etc/passwd", "a\\b", "C:/a", "a\nb", "a\x00", "\udcff", "Icon\r\r", "../.a"],
)
def test_names_that_lead_outside_or_cannot_be_printed_are_refused(tmp_path, name):
    with pytest.raises(PipelineError) as caught:
        check_name(name, tmp_path)
    assert "\n" not in str(caught.value) and str(caught.value).encode()


def test_usual_names_pass(tmp_path):
    assert check_name("./a/b c/Ünï…(1).png", tmp_path) == "a/b c/Ünï…(1).png"
    assert check_name("a/", tmp_path) == "a" and check_name("a/..b", tmp_path) == "a/..b"
