"""Downloads: only over TLS, no larger than expected, and only with the recorded sum."""

from __future__ import annotations

import hashlib
import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.error import URLError
from urllib.request import Request

import pytest

from workflow_scripts.core import download as downloads
from workflow_scripts.core.download import download
from workflow_scripts.core.errors import PipelineError

SUM = hashlib.sha256(b"content").hexdigest()


def test_the_bytes_of_the_recorded_sum(monkeypatch):
    monkeypatch.setattr(downloads, "open_url", lambda url: io.BytesIO(b"content"))
    told = []
    assert download("https://x.example/a", sha256=SUM, max_bytes=7, on_bytes=told.append) == b"content"
    assert told == [7]


@pytest.mark.parametrize(
    "url", ["http://x.example/a", "file:///etc/passwd", "ftp://x.example/a", "/etc/passwd", ""]
)
def test_nothing_but_https(url, monkeypatch):
    monkeypatch.setattr(downloads, "open_url", lambda url: pytest.fail("was opened"))
    with pytest.raises(PipelineError, match="only https is allowed"):
        download(url, sha256=SUM, max_bytes=7)


@pytest.mark.parametrize("target", ["http://x.example/a", "file:///etc/passwd"])
def test_a_redirect_away_from_tls_is_not_followed(target):
    handler = downloads._OnlyTls()
    with pytest.raises(URLError, match="which is not https"):
        handler.redirect_request(Request("https://x.example/a"), None, 302, "Found", {}, target)
    assert handler.redirect_request(
        Request("https://x.example/a"), None, 302, "Found", {}, "https://y.example/b"
    )


def test_a_server_without_a_certificate_is_refused():
    """Whatever answers on the port, it must speak TLS: there is no falling back."""

    class Plain(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"content")

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Plain)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(PipelineError, match="cannot download https://127.0.0.1"):
            download(f"https://127.0.0.1:{server.server_port}/a", sha256=SUM, max_bytes=7)
    finally:
        server.shutdown()
        server.server_close()


def test_more_than_expected_is_cut_off(monkeypatch):
    class Endless(io.RawIOBase):
        sent = 0

        def read(self, size=-1):
            self.sent += size
            return bytes(size)

    endless = Endless()
    monkeypatch.setattr(downloads, "open_url", lambda url: endless)
    with pytest.raises(PipelineError, match="sends more than the 100 bytes expected; nothing of it was kept"):
        download("https://x.example/a", sha256=SUM, max_bytes=100)
    assert endless.sent <= downloads.CHUNK_BYTES


def test_another_sum_is_refused(monkeypatch):
    monkeypatch.setattr(downloads, "open_url", lambda url: io.BytesIO(b"other"))
    with pytest.raises(PipelineError, match=f"expected {SUM}; nothing of it was kept"):
        download("https://x.example/a", sha256=SUM, max_bytes=7)
