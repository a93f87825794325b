"""The pages of a microscope, driven in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser_probe import Browser, find_browser
from microscope_builders import DEAD, EVIL, SILENT, site

from styler.report.microscope import PAGE, write_pages

LAYER = "relu4_1.html"
HELPERS = """
const cards = () => all(".unit:not([hidden])").map((card) => card.id);
const peek = document.getElementById("peek");
const current = () => document.querySelector(".current")?.id;
const found = () => document.getElementById("found").textContent;
const point = (cell, name) => cell.dispatchEvent(
  new PointerEvent(name, { pointerType: "mouse" }));
const cells = async (id) => {
  const card = document.getElementById(id);
  card.scrollIntoView();
  await until(() => card.querySelector(".cell"));
  return [...card.querySelectorAll(".cell")];
};
"""
Drive = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site."""
    folder = tmp_path_factory.mktemp("site & more")
    write_pages(folder, site(folder))
    return folder


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return find_browser(tmp_path / "profile")


@pytest.fixture
def drive(shown: Path, browser: Browser) -> Drive:
    """Run a script in a layer's page, and hand over what it returns."""

    def run(
        script: str, address: str = "", page: str = LAYER, width: int | None = None
    ) -> dict[str, Any]:
        return browser.run(shown / page, HELPERS + script, address, width=width)

    return run


def test_the_box_is_shown_on_hover_and_goes_again(drive: Drive) -> None:
    seen = drive(
        """
        const [first, second] = await cells("relu4_1:1");
        point(second, "pointerenter");
        const frame = peek.querySelector(".frame").style;
        const words = peek.querySelector("p").textContent;
        const source = peek.querySelector("img").getAttribute("src");
        const box = [frame.top, frame.left, frame.height, frame.width];
        const open = !peek.hidden;
        await until(() => peek.querySelector("img").complete);
        const wide = peek.querySelector("img").naturalWidth;
        const place = peek.getBoundingClientRect();
        const inside = place.left >= 0 && place.right <= innerWidth && place.bottom <= innerHeight;
        point(second, "pointerleave");
        return { open, box, words, source, wide, inside, closed: peek.hidden,
                 name: first.getAttribute("aria-label") };
        """
    )
    assert seen == {
        "open": True,
        "box": ["-16.67%", "12.5%", "50%", "37.5%"],
        "words": "3 in sub/2.jpg, at the border, where padding was seen",
        "source": "photographs/2.jpg",
        "wide": 40,
        "inside": True,
        "closed": True,
        "name": "Patch 1: 4 in sub/1.jpg",
    }


def test_a_tap_shows_the_box_and_another_elsewhere_hides_it(drive: Drive) -> None:
    seen = drive(
        """
        const [first] = await cells("relu4_1:0");
        first.click();
        const words = peek.querySelector("p").textContent;
        const open = !peek.hidden;
        document.querySelector("h1").click();
        const closed = peek.hidden;
        first.click();
        press("Escape");
        return { words, open, closed, left: peek.hidden, bad: all("#peek script").length };
        """
    )
    assert seen["words"].startswith(f"3 in {EVIL}")
    assert (seen["open"], seen["closed"], seen["left"], seen["bad"]) == (True, True, True, 0)


def test_units_are_found_by_number_and_by_label(drive: Drive) -> None:
    seen = drive(
        """
        type("q", "1");
        const number = [cards(), found()];
        type("q", "KIND fish");
        const label = cards().length;
        type("q", "kind 11");
        const both = cards();
        type("q", "no such thing");
        return { number, label, both, none: cards(),
                 told: !document.getElementById("none").hidden };
        """,
        page="logits.html",
    )
    assert seen["number"] == [["logits:1"], "1 of 12 units"]
    assert seen["label"] == 12
    assert seen["both"] == ["logits:11"]
    assert (seen["none"], seen["told"]) == ([], True)


def test_sorting_and_states(drive: Drive) -> None:
    seen = drive(
        """
        const states = all("[name=state] option").map((option) => option.textContent);
        type("sort", "active");
        const sparse = cards();
        type("sort", "peak");
        type("down", true);
        const strong = cards();
        type("sort", "ratio");
        const ratio = cards();
        type("state", "dead");
        const dead = cards();
        type("state", "silent");
        return { states, sparse, strong, ratio, dead, silent: cards() };
        """
    )
    assert seen["states"] == ["all units", "active (10)", "silent (1)", "dead (1)"]

    def share(n: int) -> float:
        return 0.0 if n in (DEAD, SILENT) else ((n * 7) % 11 + 1) / 20

    by_share = sorted(range(12), key=lambda n: (share(n), n))
    assert seen["sparse"] == [f"relu4_1:{n}" for n in by_share]
    assert seen["strong"][:3] == ["relu4_1:11", "relu4_1:10", "relu4_1:9"]
    ratios = {n: 2 + (n % 4) / (n + 3) for n in range(12) if n not in (DEAD, SILENT)}
    best = sorted(ratios, key=lambda n: (-ratios[n], n))
    assert seen["ratio"][:10] == [f"relu4_1:{n}" for n in best]
    assert seen["dead"] == [f"relu4_1:{DEAD}"]
    assert seen["silent"] == [f"relu4_1:{SILENT}"]


def test_keys_lead_through_the_units(drive: Drive) -> None:
    seen = drive(
        """
        const said = [];
        for (const key of ["j", "j", "k", "ArrowRight", "ArrowDown", "ArrowUp", "ArrowLeft"]) {
          press(key);
          said.push(current());
        }
        const hash = location.hash;
        press("/");
        const searching = document.activeElement.name;
        press("j");
        const typed = current();
        press("Escape");
        const left = document.activeElement.name ?? null;
        press("?");
        const help = document.getElementById("help").open;
        document.querySelector("#help button").click();
        return { said, hash, searching, typed, left, help,
                 closed: !document.getElementById("help").open };
        """,
        "",
        LAYER,
        1400,
    )
    assert seen["said"] == [f"relu4_1:{n}" for n in (0, 1, 0, 1, 4, 1, 0)]
    assert (seen["hash"], seen["searching"], seen["typed"]) == ("#relu4_1:0", "q", "relu4_1:0")
    assert (seen["left"], seen["help"], seen["closed"]) == (None, True, True)


def test_dark_and_light_are_switched(drive: Drive) -> None:
    seen = drive(
        """
        const paper = () => getComputedStyle(document.body).backgroundColor;
        const before = paper();
        press("d");
        const after = paper();
        document.getElementById("theme").click();
        return { before, after, again: paper() };
        """
    )
    assert seen["before"] == seen["again"] != seen["after"]


def test_an_anchor_is_followed_even_where_a_search_hides_it(drive: Drive) -> None:
    seen = drive(
        """
        const first = current();
        type("q", "3");
        location.hash = "#relu4_1:8";
        await until(() => current() === "relu4_1:8");
        return { first, cards: cards().length, query: document.querySelector("[name=q]").value };
        """,
        "#relu4_1:7",
    )
    assert seen == {"first": "relu4_1:7", "cards": 12, "query": ""}


@pytest.mark.parametrize(
    ("address", "title"),
    [
        ("#relu4_1:7", "relu4_1 of test-net"),
        ("#logits:3", "logits of test-net"),
        ("#relu2_1", "relu2_1 of test-net"),
        ("#relu9_9:1", "test-net under the microscope"),
    ],
)
def test_the_first_page_leads_on_to_units(
    browser: Browser, shown: Path, address: str, title: str
) -> None:
    assert browser.title(shown / PAGE, address) == title


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("[", "relu2_1 of test-net"),
        ("]", "logits of test-net"),
        ("Home", "test-net under the microscope"),
    ],
)
def test_keys_lead_to_other_layers(browser: Browser, shown: Path, key: str, title: str) -> None:
    assert browser.lands(shown / LAYER, f'press("{key}"); return {{}};') == title


def test_a_search_through_all_layers(drive: Drive) -> None:
    seen = drive(
        """
        const links = () => all("#results a").map((link) => [link.textContent,
          link.getAttribute("href")]);
        type("q", "7");
        const number = links();
        const told = found();
        type("q", "kind 7 of");
        const label = links();
        type("q", "");
        press("j");
        press("j");
        return { number, told, label, none: links(), current: current() };
        """,
        page=PAGE,
    )
    name = "logits:7 kind 7 of <fish> & co"
    assert seen["number"] == [
        ["relu2_1:7 ", "relu2_1.html#relu2_1:7"],
        ["relu4_1:7 ", "relu4_1.html#relu4_1:7"],
        [name, "logits.html#logits:7"],
    ]
    assert seen["told"] == "3 units"
    assert seen["label"] == [[name, "logits.html#logits:7"]]
    assert seen["none"] == []
    assert seen["current"] == "relu4_1"


@pytest.mark.parametrize("page", [PAGE, LAYER, "logits.html"])
@pytest.mark.parametrize("width", [360, 1400])
def test_pages_fit_the_screen_and_load_their_own_pictures_alone(
    drive: Drive, shown: Path, page: str, width: int
) -> None:
    seen = drive(
        """
        window.scrollTo(0, document.body.scrollHeight);
        await until(() => all("main img").every((image) => image.complete));
        const names = performance.getEntriesByType("resource").map((entry) => entry.name);
        return { sources: [...names, ...[...document.images].map((image) => image.currentSrc)],
                 broken: all("main img").filter((image) => !image.naturalWidth).length,
                 width: innerWidth,
                 over: document.documentElement.scrollWidth
                   - document.documentElement.clientWidth };
        """,
        page=page,
        width=width,
    )
    assert seen["width"] == width
    sources = [source for source in seen["sources"] if source and not source.startswith("data:")]
    assert sources
    assert all(source.startswith(shown.as_uri() + "/") for source in sources)
    assert seen["broken"] == 0
    assert seen["over"] <= 0


@pytest.mark.parametrize("width", [360, 1400])
def test_the_unit_and_the_layer_that_were_asked_for_are_in_sight(drive: Drive, width: int) -> None:
    seen = drive(
        """
        const unit = document.getElementById("logits:9").getBoundingClientRect();
        const bar = document.querySelector(".layers");
        await until(() => bar.scrollLeft > 0 || bar.scrollWidth <= bar.clientWidth);
        const layers = bar.getBoundingClientRect();
        const layer = document.querySelector("[aria-current]").getBoundingClientRect();
        return { unit: unit.top >= 0 && unit.top < innerHeight / 2,
                 layer: layer.left >= layers.left - 1 && layer.right <= layers.right + 1 };
        """,
        "#logits:9",
        "logits.html",
        width,
    )
    assert seen == {"unit": True, "layer": True}
