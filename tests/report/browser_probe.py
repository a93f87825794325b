"""Pages of ours, driven in a real browser by a script that is put into a copy of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROBE = """
<script>
addEventListener("load", async () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const type = (name, value) => {
    const field = document.getElementById("filters").elements[name];
    if (field.type === "checkbox") field.checked = value; else field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const press = (key) => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const until = async (what) => {
    while (!what()) await new Promise((done) => setTimeout(done, 20));
  };
  const seen = await (async () => { SCRIPT })();
  const out = document.createElement("pre");
  out.id = "seen";
  out.textContent = JSON.stringify(seen);
  document.body.append(out);
  parent.postMessage(seen, "*");
});
</script>
</body>"""
FRAME = """<!doctype html>
<iframe src="SOURCE" width="WIDTH" height="800"></iframe>
<pre id="seen"></pre>
<script>
addEventListener("message", ({ data }) => {
  document.getElementById("seen").textContent = JSON.stringify(data);
});
</script>"""


class _Seen(HTMLParser):
    """What a probe wrote into a page, and the page's title."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = self.title = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = "seen" if ("id", "seen") in attrs else tag

    def handle_data(self, data: str) -> None:
        if self._inside == "seen":
            self.text += data
        if self._inside == "title":
            self.title += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


@dataclass(frozen=True)
class Browser:
    """A browser without a window.

    Args:
        program: its path.
        profile: a folder of its own.
    """

    program: str
    profile: Path

    def run(
        self, page: Path, script: str, address: str = "", *, width: int | None = None
    ) -> dict[str, Any]:
        """Run a script in a copy of a page, and hand over what it returns.

        With a width the page is in a frame, which may be narrower than any window of a browser.
        """
        probe = _probed(page, script)
        if width is not None:
            probe, address = _framed(probe, address, width), ""
        found = _Seen(self.dump(probe, address))
        seen: dict[str, Any] = json.loads(found.text)
        return seen

    def title(self, page: Path, address: str = "") -> str:
        """Of the page at which the browser ends."""
        return _Seen(self.dump(page, address)).title

    def lands(self, page: Path, script: str) -> str:
        """The title of the page to which a script in a copy of another leads."""
        return _Seen(self.dump(_probed(page, script), "")).title

    def dump(self, page: Path, address: str) -> str:
        """The document as it is after everything has happened; no error may have been told of."""
        words = [self.program, "--headless", "--no-sandbox", "--disable-gpu"]
        words += ["--enable-logging=stderr", f"--user-data-dir={self.profile}"]
        words += ["--virtual-time-budget=5000", "--dump-dom", page.as_uri() + address]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert "CONSOLE" not in done.stderr, done.stderr
        return done.stdout


def _probed(page: Path, script: str) -> Path:
    """A copy of a page beside it, with a script."""
    probe = page.parent / "probe.html"
    text = page.read_text(encoding="utf-8")
    probe.write_text(text.replace("</body>", PROBE.replace("SCRIPT", script)), encoding="utf-8")
    return probe


def _framed(page: Path, address: str, width: int) -> Path:
    """A page with another one in a frame."""
    frame = page.parent / "frame.html"
    text = FRAME.replace("SOURCE", page.name + address).replace("WIDTH", str(width))
    frame.write_text(text, encoding="utf-8")
    return frame


def find_browser(profile: Path) -> Browser:
    """A browser of this machine; the test is skipped where there is none."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: install one of {', '.join(BROWSERS)}")
    return Browser(program, profile)
