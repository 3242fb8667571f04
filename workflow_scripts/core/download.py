"""Downloads: over TLS all the way, no larger than announced here, and kept only when the recorded sum fits."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from workflow_scripts.core.errors import PipelineError, shorten

TIMEOUT_S = 30
CHUNK_BYTES = 2**20


class _OnlyTls(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to https and to nothing else, such as http: or file:."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError(f"{req.full_url} leads to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str) -> Any:
    """The response to a GET of an https address; it checks certificates. Tests put their own in its place."""
    return urllib.request.build_opener(_OnlyTls).open(url, timeout=TIMEOUT_S)


def download(
    url: str, *, sha256: str, max_bytes: int, on_bytes: Callable[[int], None] = lambda done: None
) -> bytes:
    """The bytes at `url`, which must be https, when their sha256 is `sha256` (64 hex digits).

    `on_bytes(done)` is called after every MiB. PipelineError when the file cannot be had, has more than `max_bytes`, or
    has another sum.
    """
    if urlsplit(url).scheme != "https":
        raise PipelineError(f"will not download {url}: only https is allowed")
    content = bytearray()
    try:
        with open_url(url) as response:
            while chunk := response.read(CHUNK_BYTES):
                content += chunk
                on_bytes(len(content))
                if len(content) > max_bytes:
                    raise PipelineError(
                        f"{url} sends more than the {max_bytes:,} bytes expected; nothing of it was kept"
                    )
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise PipelineError(f"cannot download {url} ({shorten(error) or type(error).__name__})") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise PipelineError(
            f"{url} sent a file with sha256 {found}, expected {sha256}; nothing of it was kept"
        )
    return bytes(content)
