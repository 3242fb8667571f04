"""Downloads that are kept only when their sha256 is the recorded one."""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from typing import Any

from workflow_scripts.core.errors import PipelineError, shorten
from workflow_scripts.core.progress import Progress

TIMEOUT_S = 30
CHUNK_BYTES = 2**20
MAX_BYTES = 2**28  # the largest file, CIFAR-10's archive, has 170,498,071


def open_url(url: str) -> Any:
    """Open a URL for reading; tests replace this function."""
    return urllib.request.urlopen(url, timeout=TIMEOUT_S)


def download(url: str, *, sha256: str) -> bytes:
    """Fetch the file at `url` and check its sha256 (64 hex digits); prints progress to standard error.

    PipelineError when the file cannot be fetched, exceeds MAX_BYTES or has another sum.
    """
    progress = Progress(f"downloading {url}", None, "MB")
    content = bytearray()
    try:
        with open_url(url) as response:
            while (chunk := response.read(CHUNK_BYTES)) and len(content) <= MAX_BYTES:
                content += chunk
                progress.update(len(content) >> 20)
    except (OSError, http.client.HTTPException) as error:
        raise PipelineError(f"cannot download {url} ({shorten(error) or type(error).__name__})") from error
    if len(content) > MAX_BYTES:
        raise PipelineError(f"{url} sends more than the {MAX_BYTES:,} bytes allowed; nothing of it was kept")
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise PipelineError(f"{url} sent a file of sha256 {found}, expected {sha256}; nothing of it was kept")
    return bytes(content)
