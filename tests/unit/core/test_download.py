"""Downloads: no larger than allowed, and only with the recorded sum."""

from __future__ import annotations

import hashlib
import http.client
import io
from urllib.error import URLError

import pytest

from workflow_scripts.core import download as downloads
from workflow_scripts.core.download import download
from workflow_scripts.core.errors import PipelineError

URL = "https://x.example/a"
SUM = hashlib.sha256(b"content").hexdigest()


class Endless(io.RawIOBase):
    sent = 0

    def read(self, size=-1):
        self.sent += size
        return bytes(size)


def test_only_bytes_with_the_recorded_sum_are_kept(monkeypatch):
    monkeypatch.setattr(downloads, "open_url", lambda url: io.BytesIO(b"content"))
    assert download(URL, sha256=SUM) == b"content"
    monkeypatch.setattr(downloads, "open_url", lambda url: io.BytesIO(b"other"))
    with pytest.raises(PipelineError, match=f"expected {SUM}; nothing of it was kept"):
        download(URL, sha256=SUM)


def test_more_than_allowed_is_cut_off(monkeypatch):
    endless = Endless()
    monkeypatch.setattr(downloads, "MAX_BYTES", 100)
    monkeypatch.setattr(downloads, "open_url", lambda url: endless)
    with pytest.raises(PipelineError, match="sends more than the 100 bytes allowed; nothing of it was kept"):
        download(URL, sha256=SUM)
    assert endless.sent <= 2 * downloads.CHUNK_BYTES


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), TimeoutError("timed out"), http.client.IncompleteRead(b"half")]
)
def test_a_failure_on_the_way_is_one_line(monkeypatch, error):
    class Failing(io.RawIOBase):
        def read(self, size=-1):
            raise error

    monkeypatch.setattr(downloads, "open_url", lambda url: Failing())
    with pytest.raises(PipelineError, match=f"^cannot download {URL} \\(") as caught:
        download(URL, sha256=SUM)
    assert "\n" not in str(caught.value)
