"""Fetches published weights: resumable, checked, and kept small."""

from __future__ import annotations

import http
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from styler.errors import BackboneError
from styler.features.convert import cache_writing, store_weights
from styler.features.locate import find_weights, missing_weights, weights_cache
from styler.features.registry import BackboneSpec
from styler.features.weights import load_weights

Progress = Callable[[int, int | None], None]

_CHUNK = 1 << 18
_TIMEOUT = 30.0
"""Seconds without any data after which a connection counts as lost."""


def fetch_weights(spec: BackboneSpec, *, progress: Progress | None = None) -> Path:
    """Downloads the weights of a network, unless they are at hand.

    The download goes to the cache, is compared with the known SHA-256, and is stored there as
    `import_weights` does; the large file is then deleted. An interrupted download is continued
    by the next call.

    Args:
        spec: the network.
        progress: called with the bytes received and the bytes in all (None when unknown).

    Returns:
        The weights file.

    Raises:
        BackboneError: there is nothing to download, it failed, or it is not the expected file.
        OutputError: the cache cannot be written.
    """
    present = find_weights(spec)
    if present is not None:
        return present
    entry = next((entry for entry in spec.weights if entry.url is not None), None)
    if entry is None or entry.url is None:
        raise missing_weights(spec)
    whole = weights_cache() / entry.filename
    part = whole.with_name(f"{entry.filename}.part")
    with cache_writing():
        whole.parent.mkdir(parents=True, exist_ok=True)
    _receive(entry.url, part, progress or _silent, spec)
    with cache_writing():
        part.replace(whole)
    try:
        return store_weights(spec, load_weights(spec, whole))
    finally:
        whole.unlink()


def _silent(received: int, total: int | None) -> None:
    """Reports to nobody."""


def _receive(url: str, part: Path, progress: Progress, spec: BackboneSpec) -> None:
    """Downloads to `part`, going on from what is there when the server can."""
    with _open(url, part, spec) as response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        received = part.stat().st_size if resumed else 0
        length = response.headers.get("Content-Length")
        total = received + int(length) if length is not None else None
        with cache_writing():
            file = part.open("ab" if resumed else "wb")
        with file:
            progress(received, total)
            for chunk in _chunks(response, url, spec):
                with cache_writing():
                    file.write(chunk)
                received += len(chunk)
                progress(received, total)
    if total is not None and received < total:
        raise BackboneError(
            f"the download of {url} stopped at {received} of {total} bytes",
            "run the same again: it goes on from there",
        )


def _open(url: str, part: Path, spec: BackboneSpec) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "styler"})
    start = part.stat().st_size if part.exists() else 0
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
            return _open(url, part, spec)
        raise _failed(url, f"{error.code} {error.reason}", spec) from error
    except (OSError, http.client.HTTPException) as error:
        raise _failed(url, str(getattr(error, "reason", error)), spec) from error
    return response


def _chunks(response: http.client.HTTPResponse, url: str, spec: BackboneSpec) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _failed(url, str(error), spec) from error


def _failed(url: str, reason: str, spec: BackboneSpec) -> BackboneError:
    return BackboneError(f"cannot download {url}: {reason}", missing_weights(spec).hint)
