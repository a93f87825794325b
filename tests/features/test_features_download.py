import hashlib
import io
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import Tensor

from styler.errors import BackboneError, OutputError
from styler.features.download import fetch_weights
from styler.features.registry import BackboneSpec, WeightFile, get_backbone
from styler.features.weights import load_weights


@dataclass
class Site:
    """What a small server on this machine offers, and how it behaves."""

    body: bytes
    address: str = ""
    ranges: bool = True
    cut_after: int | None = None
    tell_length: bool = True
    asked: list[str | None] = field(default_factory=list)


def make_handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/tiny.pth":
                self.send_error(404)
                return
            wanted = self.headers.get("Range")
            site.asked.append(wanted)
            start = int(wanted[6:-1]) if wanted and site.ranges else 0
            if start >= len(site.body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if site.tell_length:
                self.send_header("Content-Length", str(len(site.body) - start))
            self.end_headers()
            self.wfile.write(site.body[start : site.cut_after])

        def log_message(self, format: str, *args: object) -> None:
            """Keeps the tests quiet."""

    return Handler


@pytest.fixture
def site(tiny_state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    buffer = io.BytesIO()
    torch.save({**tiny_state, "classifier.0.weight": torch.rand(300, 400)}, buffer)
    offered = Site(buffer.getvalue())
    server = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(offered))
    offered.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield offered
    server.shutdown()
    thread.join()
    server.server_close()


def spec_at(tiny: BackboneSpec, url: str, sha256: str | None) -> BackboneSpec:
    entry = WeightFile(filename="tiny.pth", licence="none", source="here", url=url, sha256=sha256)
    return replace(tiny, weights=(entry,))


def offered_spec(tiny: BackboneSpec, site: Site) -> BackboneSpec:
    digest = hashlib.sha256(site.body).hexdigest()
    return spec_at(tiny, f"{site.address}/tiny.pth", digest[:8])


def test_a_download_is_checked_and_kept_small(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor], site: Site, cache: Path
) -> None:
    spec = offered_spec(tiny, site)
    steps: list[tuple[int, int | None]] = []
    path = fetch_weights(spec, progress=lambda *step: steps.append(step))
    assert path == cache / "tiny.features.safetensors"
    assert sorted(p.name for p in cache.iterdir()) == [path.name, f"{path.name}.sha256"]
    assert steps[0] == (0, len(site.body))
    assert steps[-1] == (len(site.body), len(site.body))
    assert len(steps) > 2
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    loaded = load_weights(spec, path)
    assert loaded.metadata["original_sha256"] == hashlib.sha256(site.body).hexdigest()
    assert loaded.metadata["source"] == "here"
    for key, value in tiny_state.items():
        assert torch.equal(loaded.state[key], value.half())
    assert path.stat().st_size < len(site.body) / 10


def test_what_is_at_hand_is_not_downloaded(tiny: BackboneSpec, site: Site) -> None:
    spec = offered_spec(tiny, site)
    assert fetch_weights(spec) == fetch_weights(spec)
    assert site.asked == [None]
    assert fetch_weights(get_backbone("vgg-lite")).name == "vgg-lite.safetensors"


def test_another_file_than_the_expected_leaves_nothing(
    tiny: BackboneSpec, site: Site, cache: Path
) -> None:
    spec = spec_at(tiny, f"{site.address}/tiny.pth", "00000000")
    with pytest.raises(BackboneError, match="sha256 00000000… expected"):
        fetch_weights(spec)
    assert list(cache.iterdir()) == []


def test_a_damaged_file_without_a_known_digest_leaves_nothing(
    tiny: BackboneSpec, site: Site, cache: Path
) -> None:
    site.body = site.body[:2000]
    with pytest.raises(BackboneError, match="is damaged"):
        fetch_weights(spec_at(tiny, f"{site.address}/tiny.pth", None))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_is_continued(
    ranges: bool, tiny: BackboneSpec, site: Site, cache: Path
) -> None:
    spec = offered_spec(tiny, site)
    site.cut_after, site.ranges = 300_000, ranges
    with pytest.raises(BackboneError, match="stopped at 300000 of") as caught:
        fetch_weights(spec)
    assert "goes on from there" in str(caught.value.hint)
    assert (cache / "tiny.pth.part").stat().st_size == 300_000
    site.cut_after = None
    steps: list[tuple[int, int | None]] = []
    fetch_weights(spec, progress=lambda *step: steps.append(step))
    assert site.asked == [None, "bytes=300000-"]
    assert steps[0] == (300_000 if ranges else 0, len(site.body))
    assert steps[-1] == (len(site.body), len(site.body))
    assert not (cache / "tiny.pth.part").exists()


def test_a_part_longer_than_the_file_is_thrown_away(
    tiny: BackboneSpec, site: Site, cache: Path
) -> None:
    cache.mkdir(parents=True)
    (cache / "tiny.pth.part").write_bytes(b"x" * (len(site.body) + 1))
    fetch_weights(offered_spec(tiny, site))
    assert site.asked == [f"bytes={len(site.body) + 1}-", None]


def test_a_length_that_is_not_told(tiny: BackboneSpec, site: Site) -> None:
    site.tell_length = False
    steps: list[tuple[int, int | None]] = []
    fetch_weights(offered_spec(tiny, site), progress=lambda *step: steps.append(step))
    assert steps[-1] == (len(site.body), None)


def test_a_missing_page_is_told(tiny: BackboneSpec, site: Site, cache: Path) -> None:
    spec = spec_at(tiny, f"{site.address}/gone.pth", None)
    with pytest.raises(BackboneError, match=r"cannot download .*gone\.pth: 404") as caught:
        fetch_weights(spec)
    for way in ("--backbone vgg-lite", "styler weights import", "STYLER_WEIGHTS_DIR"):
        assert way in str(caught.value.hint)
    assert list(cache.iterdir()) == []


def test_a_refused_connection_is_told(
    tiny: BackboneSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        spec = spec_at(tiny, f"http://127.0.0.1:{unheard.getsockname()[1]}/tiny.pth", None)
        with pytest.raises(BackboneError, match=r"cannot download .*refused"):
            fetch_weights(spec)
    assert list(cache.iterdir()) == []


def test_a_network_without_an_address_is_told() -> None:
    with pytest.raises(BackboneError, match="no weights for vgg19-caffe"):
        fetch_weights(get_backbone("vgg19-caffe"))


def test_a_cache_that_cannot_be_made_is_told(
    tiny: BackboneSpec, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("STYLER_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot write to the cache"):
        fetch_weights(offered_spec(tiny, site))
