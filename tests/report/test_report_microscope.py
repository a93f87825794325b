"""The pages of a microscope, as files."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from gallery_builders import embedded, plain
from microscope_builders import DEAD, EVIL, SILENT, layer_record, page, site, unit

from styler.errors import OutputError
from styler.microscope.record import LayerPage, Sheet, Site, Synthetic
from styler.report.microscope import PAGE, check_pages, page_names, write_pages


class Tags(HTMLParser):
    """The elements of a page and their attributes, as a browser would find them."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    @property
    def ids(self) -> set[str]:
        return {attrs["id"] or "" for _, attrs in self.found if "id" in attrs}

    @property
    def links(self) -> list[str]:
        named = [attrs.get(name) for _, attrs in self.found for name in ("href", "src")]
        return [link for link in named if link is not None and not link.startswith("data:")]


def written(folder: Path, shown: Site) -> dict[str, str]:
    write_pages(folder, shown)
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.html")}


def check_links(folder: Path) -> int:
    """Every link leads to a file that is there, and to a place that it has; how many there are."""
    pages = {path.name: Tags(path) for path in folder.glob("*.html")}
    count = 0
    for name, tags in pages.items():
        for link in tags.links:
            file, _, place = link.partition("#")
            target = unquote(file) or name
            assert (folder / target).is_file(), link
            if place:
                assert unquote(place) in pages[target].ids, link
            count += 1
        photographs = embedded((folder / name).read_text(encoding="utf-8")).get("photos", [])
        for photograph in photographs:
            assert (folder / photograph["thumb"]).is_file()
    return count


def test_every_link_resolves(tmp_path: Path) -> None:
    write_pages(tmp_path, site(tmp_path))
    assert check_links(tmp_path) > 100


def test_equal_sites_give_equal_bytes_in_any_folder(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two" / "deeper"
    assert written(one, site(one)) == written(two, site(two))


def test_a_unit_is_told_in_full(tmp_path: Path) -> None:
    text = written(tmp_path, site(tmp_path))["relu4_1.html"]
    data = embedded(text)
    assert data["here"] == 1
    assert [one["layer"] for one in data["layers"]] == ["relu2_1", "relu4_1", "logits"]
    assert data["bins"] == [1, 2, 4]
    told = data["units"][1]
    assert told == {
        "id": "relu4_1:1",
        "unit": 1,
        "state": "active",
        "peak": 4,
        "active": 0.4,
        "ratio": 2.25,  # 2 · 4 + 1 over 4
        "patches": [
            [1, 4, -16.67, 0, 50, 37.5, 1],
            [2, 3, -16.67, 12.5, 50, 37.5, 1],
            [3, 2, -16.67, 25, 50, 37.5, 1],
        ],
        "spread": [100, 2],
    }
    assert data["photos"][0]["name"] == EVIL
    assert data["photos"][1] == {
        "name": "sub/1.jpg",
        "thumb": "photographs/1.jpg",
        "size": [30, 40],
    }
    assert "12 of 64 channels of 5×4, stride 8, each sees 24×24 pixels" in text
    assert "9, 2.2× natural" in text
    assert "40 % of places" in text


def test_dead_and_silent_units_are_marked(tmp_path: Path) -> None:
    texts = written(tmp_path, site(tmp_path))
    states = {one["unit"]: one["state"] for one in embedded(texts["relu2_1.html"])["units"]}
    assert {n for n, state in states.items() if state == "dead"} == {DEAD}
    assert {n for n, state in states.items() if state == "silent"} == {SILENT}
    assert texts["relu2_1.html"].count('class="chip"') == 2
    assert texts["relu2_1.html"].count("no photograph excites it</p>") == 2
    assert "<dt>dead</dt><dd>1</dd>" in texts[PAGE]


def test_the_first_page_lists_all_layers_and_units(tmp_path: Path) -> None:
    text = written(tmp_path, site(tmp_path))[PAGE]
    layers = embedded(text)["layers"]
    assert [one["page"] for one in layers] == ["relu2_1.html", "relu4_1.html", "logits.html"]
    assert layers[2]["units"][7] == [7, "kind 7 of <fish> & co"]
    assert layers[0]["units"][7] == [7]
    assert "All 4 layers of the network" in text
    rows = re.findall(r"<tr><th scope=row>(.*?)</th>(.*?)</tr>", text)
    assert rows[0] == (
        "conv2_1",
        '<td class="number">64×8×10</td><td class="number">4</td><td class="number">24×24</td>',
    )
    assert rows[3][0] == '<a href="logits.html">logits</a>'
    assert "broken &lt;b&gt;.png" in text
    assert "no picture &amp; no &lt;i&gt;luck&lt;/i&gt;" in text


def test_names_stay_names(tmp_path: Path) -> None:
    write_pages(tmp_path, site(tmp_path))
    for path in tmp_path.glob("*.html"):
        tags = [tag for tag, _ in Tags(path).found]
        assert tags.count("script") == 3  # of the head, the data, the page's own
        assert not {"fish", "b", "i"} & set(tags)


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    write_pages(tmp_path, site(tmp_path))
    for path in tmp_path.glob("*.html"):
        tags = Tags(path)
        assert all("//" not in link for link in tags.links)
        policy = next(a["content"] for _, a in tags.found if "http-equiv" in a)
        assert (policy or "").startswith("default-src 'none'")
        images = [attrs for tag, attrs in tags.found if tag == "img" and "src" in attrs]
        assert images
        assert all(attrs["loading"] == "lazy" for attrs in images)


def test_a_large_layer_stays_a_light_page(tmp_path: Path) -> None:
    few = site(tmp_path)
    record = layer_record("relu4_1", [unit("relu4_1", n, k=9) for n in range(512)])
    large = dataclasses.replace(
        few,
        index=dataclasses.replace(few.index, layers=[record], k=9),
        pages=[page(tmp_path, record, written=False)],
    )
    text = written(tmp_path, large)["relu4_1.html"]
    assert len(text.encode()) < 1_000_000


def test_without_synthetic_pictures_patches_stand_in_the_strip(tmp_path: Path) -> None:
    texts = written(tmp_path, site(tmp_path, synthetic=False))
    assert "0-patches.jpg" in texts[PAGE]
    assert "natural" not in texts["relu2_1.html"].split("<script", 2)[1]
    states = {one["state"] for one in embedded(texts["relu2_1.html"])["units"]}
    assert states == {"active", "dead"}
    check_links(tmp_path)


def test_a_site_without_photographs(tmp_path: Path) -> None:
    seen = site(tmp_path)
    blind = [
        layer_record(
            "relu2_1",
            [unit("relu2_1", n, patches=[], peak=0.0, histogram=[]) for n in range(4)],
            positions=0,
        )
    ]
    index = dataclasses.replace(seen.index, layers=blind, images=[], skipped=[], bins=[], k=0)
    made = {n: Synthetic(file=f"units/relu2_1/{n}.jpg", peak=float(n)) for n in range(4)}
    shown = Site(
        index=index, network=[], pages=[LayerPage(record=blind[0], synthetic=made)], making="small"
    )
    texts = written(tmp_path, shown)
    units = embedded(texts["relu2_1.html"])["units"]
    assert [one["state"] for one in units] == ["dead", "active", "active", "active"]
    assert all("peak" not in one and "ratio" not in one for one in units)
    assert "photograph" not in texts[PAGE].partition("<script type")[0].partition("</style>")[2]
    check_links(tmp_path)


def test_pages_of_layers_that_are_gone_go_and_those_of_others_stay(tmp_path: Path) -> None:
    shown = site(tmp_path)
    write_pages(tmp_path, shown)
    (tmp_path / "notes.html").write_text("mine")
    write_pages(tmp_path, dataclasses.replace(shown, pages=shown.pages[:1]))
    assert {path.name for path in tmp_path.glob("*.html")} == {
        PAGE,
        "relu2_1.html",
        "notes.html",
    }


@pytest.mark.parametrize("name", [PAGE, "relu4_1.html"])
def test_a_page_of_somebody_elses_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    shown = site(tmp_path)
    with pytest.raises(OutputError, match="no microscope of styler"):
        write_pages(tmp_path, shown)
    assert (tmp_path / name).read_text() == "mine"
    assert len(list(tmp_path.glob("*.html"))) == 1
    write_pages(tmp_path, shown, overwrite=True)
    check_pages(tmp_path, ["relu4_1.html"])


def test_names_of_pages_are_files_that_differ_everywhere() -> None:
    layers = ["Index", "a.b", "A.B", "a/b", "../x", "…", ".", "a b", "a_b"]
    names = page_names(layers)
    assert len({name.casefold() for name in names.values()} | {PAGE}) == len(layers) + 1
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\.html", n) for n in names.values())


def test_a_sheet_is_shown_in_two_windows(tmp_path: Path) -> None:
    plain(tmp_path / "s.jpg")
    record = layer_record("a", [unit("a", 0)])
    sheet = Sheet(file="s.jpg", rows=3, columns=3, patches=9, projections=4)
    assert sheet.more == 2
    few = site(tmp_path)
    shown = dataclasses.replace(
        few,
        index=dataclasses.replace(few.index, layers=[record]),
        pages=[LayerPage(record=record, sheets={0: sheet})],
    )
    write_pages(tmp_path, shown)
    tags = Tags(tmp_path / "a.html").found
    assert [a["data-views"] for _, a in tags if "data-views" in a] == ["2"]
    assert [a["style"] for _, a in tags if "style" in a] == [
        "aspect-ratio:3/3",
        "left:0%;width:166.667%;height:100%",
        "aspect-ratio:2/3",
        "left:-150%;width:250%;height:100%",
    ]
