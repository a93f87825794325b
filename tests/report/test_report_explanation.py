"""Explanations as plots and pages, and how losses fell."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from gallery_builders import EVIL

from styler.errors import OutputError
from styler.explain import Explanation, Part
from styler.images import read_picture
from styler.report.budget import percent
from styler.report.convergence import Fall, Section, curves, falls, sections
from styler.report.descent import descent
from styler.report.drawing import PALETTE, Box, Drawing, Stroke, Words
from styler.report.explanation import EXTENSIONS, balance, page, plot, summary, write_explanation
from styler.report.provenance import Outcome
from styler.schedule import Level

LEVELS = (Level(size=(30, 40), steps=10), Level(size=(60, 80), steps=20))


def part(term: str, layer: str | None, share: float, gradient_share: float) -> Part:
    return Part(
        term=term,
        layer=layer,
        loss=share,
        weight=2.0,
        share=share,
        gradient=gradient_share,
        gradient_share=gradient_share,
        pull=0.5 - share,
    )


def explanation(**changes: Any) -> Explanation:
    values: dict[str, Any] = {
        "parts": (
            part("content", "relu4_2", 0.6, 0.25),
            part("style", "relu1_1", 0.1, 0.25),
            part("style", "relu2_1", 0.2, 0.5),
            part("smoothness", None, 0.1, 0.0),
        ),
        "total": 2.0,
        "gradient": 0.4,
        "size": (60, 80),
        "levels": LEVELS,
        "weights": {"content": 2.0, "style": 2.0, "smoothness": 2.0},
        "cosines": (
            (1.0, -0.5, 0.0, 0.0),
            (-0.5, 1.0, 0.25, 0.0),
            (0.0, 0.25, 1.0, 0.0),
            (0.0, 0.0, 0.0, 0.0),
        ),
    }
    return Explanation(**{**values, **changes})


def outcome(**changes: Any) -> Outcome:
    """A total that falls to a tenth in each step of ten."""
    values: dict[str, Any] = {
        "done": 30,
        "planned": 30,
        "evaluations": 30,
        "recoveries": 0,
        "seconds": 1.0,
        "losses": {},
        "trace": [(1, 1000.0), (10, 100.0), (11, 300.0), (30, 10.0)],
        "terms": {"style": [500.0, 40.0, 140.0, 1.0], "content": [0.0, 10.0, 10.0, 4.0]},
    }
    return Outcome(**{**values, **changes})


# How losses fell


def test_curves_are_weighted_and_unknown_terms_left_out() -> None:
    found = curves(outcome(), {"style": 2.0, "smoothness": 1.0})
    assert list(found) == ["total", "style"]
    assert found["style"] == [(1, 1000.0), (10, 80.0), (11, 280.0), (30, 2.0)]
    assert list(curves(outcome(terms={}), {"style": 2.0})) == ["total"]


def test_a_fall_is_told_in_all_by_scale_and_by_term() -> None:
    whole, first, second, content, style = falls(outcome(), {"content": 1.0, "style": 2.0}, LEVELS)
    # After step 1 it is not known; before it, no step was taken.
    assert whole == Fall(
        name="total", steps=30, first=1000.0, last=10.0, reached={0.9: 29, 0.99: 29}
    )
    assert (first.size, first.steps, first.first, first.last) == ((30, 40), 10, 1000.0, 100.0)
    assert (second.size, second.steps, second.reached[0.9]) == ((60, 80), 20, 19)
    assert content.reached == {}, "it rose"
    assert (style.name, style.first, style.last) == ("style", 1000.0, 2.0)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([100, 50, 9, 5, 0], {0.9: 2, 0.99: 4}),
        ([100, 9, 50, 5, 0], {0.9: 3, 0.99: 4}),  # reached for good
        ([100, 0, 0, 0, 0], {0.9: 1, 0.99: 1}),
        ([100, 100, 100, 100, 0], {0.9: 4, 0.99: 4}),
        ([100, 50, 70, 90, 101], {}),
        ([5, 5, 5, 5, 5], {}),
    ],
)
def test_shares_of_a_fall(losses: list[float], expected: dict[float, int]) -> None:
    trace = list(enumerate(map(float, losses), start=1))
    (fall,) = falls(outcome(done=5, trace=trace, terms={}), {}, LEVELS[:1])
    assert fall.reached == expected


def test_without_two_losses_nothing_fell() -> None:
    for trace in ([], [(1, 2.0)]):
        assert falls(outcome(trace=trace, terms={}), {"style": 1.0}, LEVELS) == []


def plan(*steps: int) -> list[Level]:
    return [Level(size=(n + 1, n + 1), steps=count) for n, count in enumerate(steps)]


@pytest.mark.parametrize(
    ("steps", "done", "planned", "expected"),
    [
        ((10, 20), 30, 30, [(0, 10, (1, 1)), (10, 30, (2, 2))]),
        ((10, 20), 12, 30, [(0, 10, (1, 1)), (10, 12, (2, 2))]),  # interrupted
        ((10, 20), 7, 30, [(0, 7, (1, 1))]),
        ((10, 20), 18, 18, [(0, 10, (1, 1)), (10, 18, (2, 2))]),  # flat after 8 of 20
        ((10, 20, 20), 35, 35, [(0, 10, (1, 1)), (10, 35, None)]),  # one of two was flat
        ((0, 5), 5, 5, [(0, 5, (2, 2))]),
        ((0,), 0, 0, []),
    ],
)
def test_scales(
    steps: tuple[int, ...],
    done: int,
    planned: int,
    expected: list[tuple[int, int, tuple[int, int] | None]],
) -> None:
    found = sections(outcome(done=done, planned=planned, trace=[], terms={}), plan(*steps))
    assert [(each.begin, each.end, each.size) for each in found] == expected


# Drawings


def rectangles(svg: str) -> dict[str, float]:
    """Title → width."""
    found = re.findall(r'<rect [^>]*width="([\d.]+)"[^>]*><title>([^<]*)</title>', svg)
    return {title: float(width) for width, title in found}


def drawn(**changes: Any) -> str:
    return plot(explanation(**changes), outcome(), title="e.png").svg()


def test_bars_are_as_long_as_their_shares() -> None:
    wide = rectangles(drawn())
    content, style = wide["content relu4_2: 60%"], wide["style relu2_1: 20%"]
    assert content / style == pytest.approx(3, rel=0.01)
    assert wide["smoothness: 0%"] == 0
    assert wide["style relu2_1: 50%"] == pytest.approx(content * 5 / 6, rel=0.01)


def test_cosines_are_told_by_colour_and_number() -> None:
    svg = drawn()
    against, with_ = (
        re.search(rf'class="d-(\w+)"[^>]*fill-opacity="([\d.]+)"><title>{name}', svg)
        for name in (r"content relu4_2 and style relu1_1: -0\.50", r"style relu1_1 and style relu2")
    )
    assert against is not None
    assert with_ is not None
    assert (against[1], with_[1]) == ("red", "blue")
    assert float(against[2]) == pytest.approx(2 * float(with_[2]))
    assert ">-0.5<" in svg


def test_many_parts_have_cells_without_numbers() -> None:
    count = 30
    parts = tuple(
        part("style", f"vgg19-caffe:relu{n}_1_of_many", 1 / count, 0) for n in range(count)
    )
    cosines = tuple(tuple(0.5 for _ in range(count)) for _ in range(count))
    svg = drawn(parts=parts, weights={"style": 1.0}, cosines=cosines)
    assert ">+0.5<" not in svg
    assert re.search(r">…\S*:relu7_1_of_many<", svg)
    right = max(
        float(x) + float(width)
        for x, width in re.findall(r'<rect [^>]*x="([\d.]+)"[^>]*width="([\d.]+)"', svg)
    )
    assert right <= 960


def test_the_svg_is_whole_and_needs_nothing_else() -> None:
    svg = plot(explanation(), outcome(), title=EVIL).svg()
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert EVIL in {element.text for element in root.iter()}
    assert re.findall(r"(?:href|src|url)", svg) == []
    assert "prefers-color-scheme:dark" in svg
    assert all(ink in svg for ink in PALETTE["ink"])


def strokes(shapes: list[Any], colour: str) -> list[Stroke]:
    return [each for each in shapes if isinstance(each, Stroke) and each.colour == colour]


def test_curves_of_powers_fall_in_straight_lines() -> None:
    trace = [(step, 10.0 ** (3 - step / 10)) for step in range(1, 31)]
    shapes, bottom = descent({"total": trace}, [Section(begin=0, end=30, size=None)], {}, 100)
    (line,) = strokes(shapes, "ink")
    rises = {round(b[1] - a[1], 6) for a, b in pairwise(line.points)}
    across = {round(b[0] - a[0], 6) for a, b in pairwise(line.points)}
    assert len(rises) == len(across) == 1
    assert rises.pop() > 0
    assert 100 < line.points[0][1] < line.points[-1][1] < bottom


def test_a_curve_is_broken_where_a_scale_begins() -> None:
    shapes, _ = descent(
        curves(outcome(), {"style": 1.0}), sections(outcome(), LEVELS), {"style": "orange"}, 0
    )
    for colour in ("ink", "orange"):
        before, after = strokes(shapes, colour)
        assert len(before.points) == len(after.points) == 2
        assert before.points[-1][0] < after.points[0][0]
    words = {shape.text for shape in shapes if isinstance(shape, Words)}
    assert {"40×30", "80×60", "total 10", "style 1"} <= words


def test_a_curve_from_zero_does_not_flatten_the_others() -> None:
    trace = {"total": [(1, 10.0), (3, 5.0)], "content": [(1, 0.0), (2, 4.0), (3, 4.0)]}
    whole = [Section(begin=0, end=3, size=None)]
    shapes, bottom = descent(trace, whole, {"content": "blue"}, 0)
    total, content = strokes(shapes, "ink")[0], strokes(shapes, "blue")[0]
    assert content.points[0][1] < bottom
    assert content.points[0][1] > total.points[1][1] > total.points[0][1]
    assert all(math.isfinite(value) for point in content.points for value in point)


def test_names_of_curves_do_not_cover_each_other() -> None:
    many = {f"style {n}": [(1, 3.0), (2, 1.0 + n / 1000)] for n in range(8)}
    shapes, _ = descent(many, [Section(begin=0, end=2, size=None)], {}, 0)
    heights = sorted(s.y for s in shapes if isinstance(s, Words) and s.text.startswith("style"))
    assert all(b - a >= 16 for a, b in pairwise(heights))


@pytest.mark.parametrize("trace", [[], [(1, 2.0)], [(1, 0.0), (2, 0.0)], [(1, -3.0), (2, -5.0)]])
def test_without_a_curve_there_is_no_frame(trace: list[tuple[int, float]]) -> None:
    assert descent({"total": trace}, [], {}, 7) == ([], 7)
    assert (
        "weighted loss" not in plot(explanation(), outcome(trace=trace, terms={}), title="").svg()
    )


def test_equal_losses_are_a_level_line() -> None:
    shapes, _ = descent({"total": [(1, 3.0), (9, 3.0)]}, sections(outcome(), LEVELS[:1]), {}, 0)
    (line,) = strokes(shapes, "ink")
    assert line.points[0][1] == line.points[1][1]


def test_pixels_are_those_of_the_svg() -> None:
    shapes = (
        Box(x=5, y=0, width=5, height=10, colour="blue"),
        Box(x=10, y=0, width=10, height=10, colour="red", opacity=0.5),
        Words(x=10, y=9, text="×—", colour="ink", anchor="middle", height=9),
    )
    picture = Drawing(width=20, height=10, label="", shapes=shapes[:2]).pixels()
    assert picture.shape == (1, 3, 20, 40)
    paper, blue, red = (
        torch.tensor([int(PALETTE[name][0][n : n + 2], 16) / 255 for n in (1, 3, 5)])
        for name in ("paper", "blue", "red")
    )
    assert torch.allclose(picture[0, :, 5, 5], paper, atol=1e-6)
    assert torch.allclose(picture[0, :, 5, 15], blue, atol=1e-6)
    assert torch.allclose(picture[0, :, 5, 30], (red + paper) / 2, atol=1 / 255)
    with_words = Drawing(width=20, height=10, label="", shapes=shapes).pixels()
    assert not torch.equal(with_words, picture)


# Words, pages and files


def test_words() -> None:
    assert summary(explanation()) == "loss 2 at 80×60: content 60%, style 30%, smoothness 10%"
    assert balance(explanation()) == [
        "together the gradients are 40% as long as alone: the rest cancels",
        "against each other: content relu4_2 and style relu1_1 (-0.50)",
    ]
    assert [percent(share) for share in (1, 0.0995, 0.09949, -0.05)] == [
        "100%",
        "10%",
        "9.9%",
        "-5.0%",
    ]


class Page(HTMLParser):
    """Tags, attributes and the text of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.cells: list[str] = []
        self.title = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "td":
            self.cells.append(data.strip())
        if self.tags and self.tags[-1] == "title" and not self.title:
            self.title = data


def test_the_page_has_all_numbers_and_needs_nothing_else() -> None:
    text = page(explanation(), outcome(), title=EVIL)
    seen = Page(text)
    assert seen.title == EVIL
    assert "script" not in seen.tags
    assert seen.links == ["data:,"]
    assert seen.tags.count("svg") == 1
    assert seen.tags.count("table") == 2
    for cell in ("relu4_2", "60%", "25%", "-0.10", "total at 40×30", "1000"):
        assert cell in seen.cells
    assert "$" not in text


def test_a_page_of_an_old_recipe_has_no_falls() -> None:
    seen = Page(page(explanation(), outcome(trace=[], terms={}), title="old"))
    assert seen.tags.count("table") == 1


@pytest.mark.parametrize("ending", EXTENSIONS)
def test_files_are_written_once(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"why{ending}"
    write_explanation(path, explanation(), outcome(), title="e.png")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        write_explanation(path, explanation(), outcome(), title="e.png")
    write_explanation(path, explanation(), outcome(), title="e.png", overwrite=True)
    assert path.read_bytes() == before
    if ending == ".png":
        height, width = read_picture(path).size
        assert width == 2 * 960
        assert height > 1000


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write '.pdf' files") as caught:
        write_explanation(tmp_path / "why.pdf", explanation(), outcome(), title="")
    assert ".html, .svg, .png" in str(caught.value.hint)


def test_names_that_are_no_text_can_be_titles(tmp_path: Path) -> None:
    path = tmp_path / "why.html"
    write_explanation(path, explanation(), outcome(), title="caf\udce9.png")
    assert "caf?.png" in path.read_text(encoding="utf-8")
