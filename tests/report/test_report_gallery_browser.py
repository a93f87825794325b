"""The gallery of a batch, driven in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser_probe import find_browser
from gallery_builders import EVIL, TRACE, embedded, plain, record

from styler.report.gallery import PAGE, write_gallery
from styler.report.thumbnails import THUMBNAILS


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a gallery of 120 jobs, all of whose kinds are there."""
    folder = tmp_path_factory.mktemp("gallery")
    other = plain(folder / "waves & more.png")
    two = ((str(folder / "style.png"), 1.0), (str(other), 3.0))
    jobs = []
    for n in range(120):
        failed = n % 10 == 3
        jobs.append(
            record(
                folder,
                f"{n}.png",
                state="failed" if failed else "done",
                output=str(folder / "shared.png"),
                styles=two if n % 4 == 0 else two[:1],
                seconds=None if failed else float((n * 37) % 120),
                losses={} if failed else {"total": 1.0 + (n * 7) % 120},
                trace=TRACE,
                error="the <disk> is full" if failed else None,
                overrides={"steps": n} if n == 8 else {},
            )
        )
    jobs.append(record(folder, EVIL))
    jobs.append(record(folder, "deep.tif"))
    write_gallery(folder, jobs, title=f"Evening {EVIL}", settings={"steps": 5})
    return folder


Drive = Callable[..., dict[str, Any]]
KEYS = """
const keys = () => all("#jobs h2").map((title) => title.textContent);
"""


@pytest.fixture
def drive(shown: Path, tmp_path: Path) -> Drive:
    """Run a script in the page, in a real browser, and hand over what it returns."""
    browser = find_browser(tmp_path / "profile")
    return lambda script, address="": browser.run(shown / PAGE, KEYS + script, address)


def test_the_address_chooses(drive: Drive) -> None:
    seen = drive(
        """
        const styles = all("[name=style] option").map((option) => option.textContent);
        const states = all("[name=state] option").map((option) => option.textContent);
        return { keys: keys(), styles, states, found: document.getElementById("found").textContent,
                 errors: all(".error:not([hidden])").map((line) => line.textContent) };
        """,
        "#state=failed&q=1",
    )
    assert seen["keys"] == ["13.png", "103.png", "113.png"]
    assert seen["errors"] == ["the <disk> is full"] * 3
    assert seen["states"] == ["all", "done (110)", "failed (12)"]
    assert seen["styles"] == ["all", "style.png (122)", "waves & more.png (30)"]
    assert seen["found"] == "3 of 122 jobs"


def test_filters_sorting_and_pages_work_together(drive: Drive) -> None:
    seen = drive(
        """
        const first = [keys().slice(0, 3), keys().length];
        document.getElementById("next").click();
        document.getElementById("next").click();
        const last = [keys().length, document.getElementById("page").textContent,
                      document.getElementById("next").disabled, location.hash];
        type("sort", "seconds");
        const quick = keys().slice(0, 3);
        type("down", true);
        const slow = keys().slice(0, 3);
        type("sort", "loss");
        const worst = keys()[0];
        type("style", "waves%20%26%20more.png");
        const waves = [keys().length, keys()[0]];
        const hash = location.hash;
        type("q", "STEPS 8.png");
        const word = keys();
        type("q", "nothing of that name");
        return { first, last, quick, slow, worst, waves, hash, word, none: keys() };
        """
    )
    assert seen["first"] == [["0.png", "1.png", "2.png"], 50]
    assert seen["last"] == [22, "page 3 of 3", True, "#page=3"]
    by_time = [f"{n}.png" for n in sorted(done_jobs(), key=lambda n: n * 37 % 120)]
    assert seen["quick"] == by_time[:3]
    assert seen["slow"] == by_time[:-4:-1]
    assert seen["worst"] == f"{heaviest()}.png"
    assert seen["waves"] == [30, f"{heaviest(4)}.png"]
    assert seen["hash"] == "#style=waves%2520%2526%2520more.png&sort=loss&down=1"
    assert seen["word"] == ["8.png"]
    assert seen["none"] == []


def done_jobs(step: int = 1) -> list[int]:
    return [n for n in range(0, 120, step) if n % 10 != 3]


def heaviest(step: int = 1) -> int:
    return max(done_jobs(step), key=lambda n: n * 7 % 120)


def test_a_row_shows_everything_of_its_job(drive: Drive) -> None:
    seen = drive(
        """
        const row = document.querySelector(".job");
        const list = (selector) => [...row.querySelectorAll(selector)];
        return {
          captions: list(".pictures figcaption").map((words) => words.textContent),
          lazy: list("img").map((image) => image.loading),
          links: list(".pictures a").map((link) => link.getAttribute("href")),
          chips: list(".overrides li").map((chip) => chip.textContent),
          losses: list(".losses > *").map((part) => part.textContent),
          how: list("p")[0].textContent,
          curve: row.querySelector("polyline").getAttribute("points"),
          words: row.querySelector(".curve figcaption").textContent,
          title: document.title,
          heading: document.querySelector("h1").textContent,
        };
        """,
        "#q=steps%208.png",
    )
    assert seen["captions"] == [
        "content: content.png",
        "style: style.png, 25\N{NO-BREAK SPACE}%",
        "style: waves & more.png, 75\N{NO-BREAK SPACE}%",
        "result",
    ]
    assert seen["lazy"] == ["lazy"] * 4
    assert seen["links"] == ["content.png", "style.png", "waves%20%26%20more.png", "shared.png"]
    assert seen["chips"] == ["steps = 8"]
    assert seen["losses"] == ["total", "57"]
    assert seen["how"] == "done in 56 s"
    assert seen["curve"] == "0,2 100,30 200,58"
    assert seen["words"] == "loss 1000 → 10 in 10 steps"
    assert seen["title"] == seen["heading"] == f"Evening {EVIL}"


def test_pictures_open_and_arrows_lead_on(drive: Drive) -> None:
    seen = drive(
        """
        const viewer = document.getElementById("viewer");
        const caption = () => document.getElementById("caption").textContent;
        const said = [];
        all(".job")[2].querySelector(".pictures > figure:last-child a").click();
        said.push([viewer.open, caption(), viewer.querySelector("img").getAttribute("src")]);
        for (const key of ["ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowUp"]) {
          press(key);
          said.push(caption());
        }
        document.querySelector("[data-go=ArrowRight]").click();
        document.querySelector("[data-go=ArrowRight]").click();
        said.push(caption());
        press("ArrowDown");  // over a failed job, which has no result
        said.push(caption());
        document.getElementById("close").click();
        return { said, open: viewer.open };
        """
    )
    assert seen["said"] == [
        [True, "2.png — result", "shared.png"],
        "2.png — result",
        "2.png — style: style.png",
        "2.png — content: content.png",
        "3.png — content: content.png",
        "2.png — content: content.png",
        "2.png — result",
        "4.png — result",
    ]
    assert seen["open"] is False


def test_names_stay_names(drive: Drive) -> None:
    seen = drive(
        """
        return { keys: keys(), scripts: document.scripts.length,
                 bad: all("#jobs script, #jobs b").length,
                 loaded: all("#jobs img").map((image) => image.complete && image.naturalWidth) };
        """,
        "#q=alert(1)",
    )
    assert seen["keys"] == [EVIL]
    assert seen["scripts"] == 3  # data, the page's own, the probe
    assert seen["bad"] == 0
    assert seen["loaded"] == [40, 40, 40]


def test_a_missing_thumbnail_is_told(drive: Drive, shown: Path) -> None:
    pictures = embedded((shown / PAGE).read_text(encoding="utf-8"))["pictures"]
    (evil,) = (picture["thumb"] for picture in pictures if picture["name"] == EVIL)
    small = shown / THUMBNAILS / f"{evil}.jpg"
    small.rename(small.with_suffix(".away"))
    try:
        seen = drive(
            """
            await until(() => all(".box p").length);
            return { said: all(".box p").map((words) => words.textContent),
                     left: all("#jobs img").length };
            """,
            "#q=alert(1)",
        )
    finally:
        small.with_suffix(".away").rename(small)
    assert seen == {"said": ["the thumbnail is missing"], "left": 2}


def test_a_file_it_cannot_show_is_replaced_by_its_thumbnail(drive: Drive) -> None:
    seen = drive(
        """
        document.querySelector(".pictures > figure:last-child a").click();
        const note = document.getElementById("note");
        await until(() => note.textContent);
        const image = document.querySelector("#viewer img");
        await until(() => image.complete);
        return { note: note.textContent, wide: image.naturalWidth,
                 link: document.querySelector("#viewer a").getAttribute("href") };
        """,
        "#q=deep.tif",
    )
    assert seen["note"] == "This browser cannot show the file itself; this is its thumbnail."
    assert (seen["wide"], seen["link"]) == (40, "deep.tif")
