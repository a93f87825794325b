"""`styler explain`: a picture tells where its loss comes from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cli_desk import TINY, Desk, paint
from PIL import Image

from styler.images import read_picture, read_recipe, write_picture


def stored(path: str) -> dict[str, Any]:
    """The recipe in a picture."""
    text = read_recipe(path)
    assert text is not None
    recipe: dict[str, Any] = json.loads(text)
    return recipe


def edit(path: str, **changes: object) -> None:
    """Change a picture's recipe by hand."""
    recipe = {**stored(path), **changes}
    write_picture(path, read_picture(path).pixels, recipe=json.dumps(recipe), overwrite=True)


def explained(desk: Desk, *words: object) -> dict[str, Any]:
    """What the one event says."""
    ran = desk("explain", *words, "--json")
    assert (ran.code, ran.err) == (0, "")
    (line,) = ran.out.splitlines()
    event: dict[str, Any] = json.loads(line)
    assert event["event"] == "explained"
    return event


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of two scales, made of what lies on a desk."""
    folder = tmp_path_factory.mktemp("made")
    cat, waves = paint(folder / "cat.png", 1), paint(folder / "waves.png", 2, (80, 64))
    words = ["--steps", "4,3", "--set", "schedule.min_side=24", "--backbone", "vgg-lite"]
    ran = Desk(folder)("transfer", cat, waves, *TINY, *words, "-q", "-o", folder / "x.png")
    assert ran.code == 0
    return (folder / "x.png").read_bytes()


@pytest.fixture
def painted(desk: Desk, picture: bytes) -> Desk:
    """A desk with that file, x.png."""
    Path("x.png").write_bytes(picture)
    return desk


def test_parts_and_falls_are_told(painted: Desk) -> None:
    ran = painted("explain", "x.png")
    assert (ran.code, ran.err) == (0, "")
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0][:4] == ["term", "layer", "loss", "weight"]
    assert lines[1][:2] == ["content", "relu4_2"]
    assert lines[2][:2] == ["style", "relu1_1"]
    assert lines[3][0] == "relu2_1"
    assert "%" in ran.out
    assert "█" in ran.out
    assert "loss " in ran.out
    assert "at 48×36: content " in ran.out
    assert "as long as alone" in ran.out
    falls = [line for line in lines if line[:1] == ["total"]]
    assert [line[1:3] for line in falls] == [["7", falls[0][2]], ["at", "24×18"], ["at", "48×36"]]
    assert {"content", "style", "smoothness"} <= {line[0] for line in lines[-3:]}


def test_the_event_adds_up_and_fits_the_recipe(painted: Desk) -> None:
    event = explained(painted, "x.png")
    outcome = stored("x.png")["outcome"]
    parts = event["parts"]
    assert event["picture"] == "x.png"
    assert sum(part["share"] for part in parts) == pytest.approx(1)
    assert sum(part["gradient_share"] for part in parts) == pytest.approx(1)
    assert sum(part["weight"] * part["loss"] for part in parts) == pytest.approx(event["total"])
    assert len(event["cosines"]) == len(event["cosines"][0]) == len(parts)
    # The recipe's losses are those before the last step, at which little more is won.
    assert 0.5 * outcome["losses"]["total"] < event["total"] < outcome["losses"]["total"]
    whole, coarse, fine, *terms = event["falls"]
    assert (whole["name"], whole["size"], whole["steps"]) == ("total", None, 7)
    assert whole["first"] == outcome["trace"][0][1]
    assert whole["last"] == outcome["trace"][-1][1]
    assert (coarse["size"], coarse["steps"]) == ([18, 24], 4)
    assert (fine["size"], fine["steps"]) == ([36, 48], 3)
    assert [term["name"] for term in terms] == ["content", "style", "smoothness"]
    assert set(fine["reached"]) == {"90%", "99%"}


def test_the_recipe_keeps_the_losses_of_terms(painted: Desk) -> None:
    outcome = stored("x.png")["outcome"]
    assert list(outcome["terms"]) == ["content", "style", "smoothness"]
    for name, curve in outcome["terms"].items():
        assert len(curve) == len(outcome["trace"]) == 7
        assert curve[-1] == pytest.approx(outcome["losses"][name], rel=1e-5)


def test_pictures_of_before_are_explained_too(painted: Desk) -> None:
    outcome = stored("x.png")["outcome"]
    del outcome["terms"]
    edit("x.png", outcome=outcome)
    assert {fall["name"] for fall in explained(painted, "x.png")["falls"]} == {"total"}
    assert painted("show", "x.png").code == 0
    assert "all of them" in painted("rerun", "x.png").err
    edit("x.png", outcome={**outcome, "trace": []})
    ran = painted("explain", "x.png", "-o", "why.html")
    assert ran.code == 0
    assert "99%" not in ran.out


@pytest.mark.parametrize("name", ["why.html", "why.svg", "why.png"])
def test_a_page_or_a_plot_is_written(painted: Desk, name: str) -> None:
    ran = painted("explain", "x.png", "-q", "-o", name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == name
    assert Path(name).stat().st_size > 5000
    if not name.endswith(".png"):
        text = Path(name).read_text(encoding="utf-8")
        assert "x.png" in text
        assert "48×36" in text
    before = Path(name).read_bytes()
    ran = painted("explain", "x.png", "-o", name)
    assert ran.code == 8
    assert ran.error == f"{name} already exists"
    Path(name).write_bytes(b"other")
    assert painted("explain", "x.png", "-q", "-o", name, "--overwrite").code == 0
    assert Path(name).read_bytes() == before


def test_outputs_that_cannot_be_are_refused_before_the_work(painted: Desk) -> None:
    for name, error in (
        ("x.png", "the output is the explained picture itself"),
        ("cat.png", "the output is the content picture itself"),
        ("why.pdf", "cannot write '.pdf' files: why.pdf"),
        ("nowhere/why.html", "the folder nowhere does not exist"),
    ):
        ran = painted("explain", "x.png", "-o", name, "--overwrite")
        assert (ran.code, ran.out, ran.error) == (8, "", error)


def test_explaining_changes_nothing(painted: Desk) -> None:
    before = painted.files(), Path("x.png").read_bytes()
    assert painted("explain", "x.png").code == 0
    assert (painted.files(), Path("x.png").read_bytes()) == before


def test_it_can_be_looked_at_smaller(painted: Desk) -> None:
    assert explained(painted, "x.png", "--size", "32")["size"] == [24, 32]
    ran = painted("explain", "x.png", "--size", "32")
    assert "looked at smaller than its 48×36: --size 48" in ran.err
    assert painted("explain", "x.png", "--size", "0").code == 2
    ran = painted("explain", "x.png", "--size", "3")
    assert ran.code == 4
    assert "too small" in ran.error


def test_sources_are_found_where_they_are(painted: Desk) -> None:
    Path("elsewhere").mkdir()
    shutil.move("cat.png", "elsewhere/cat.png")
    ran = painted("explain", "x.png")
    assert ran.code == 4
    assert ran.hint == "say where it is: --content FILE"
    whole = explained(painted, "x.png", "--content", "elsewhere/cat.png")
    paint(Path("waves.png"), 9)
    ran = painted("explain", "x.png", "--content", "elsewhere/cat.png")
    assert ran.code == 4
    assert "--force" in ran.hint
    other = explained(painted, "x.png", "--content", "elsewhere/cat.png", "--force")
    assert other["total"] > whole["total"]
    ran = painted("explain", "x.png", "--style", "a.png", "--style", "b.png")
    assert (ran.code, ran.error) == (2, "2 styles given, x.png has 1")


def test_what_it_started_from_is_not_needed(desk: Desk) -> None:
    paint(Path("start.png"), 9)
    assert desk.transfer("-q", "--init", "start.png", "-o", "x.png").code == 0
    Path("start.png").unlink()
    assert desk("explain", "x.png").code == 0


def test_the_weights_of_then_are_wanted(painted: Desk) -> None:
    edit("x.png", weights_sha256="0" * 64)
    ran = painted("explain", "x.png")
    assert ran.code == 5
    assert "--force" in ran.hint
    assert painted("explain", "x.png", "--force").code == 0


def test_another_machine_explains_as_well(painted: Desk) -> None:
    machine = {**stored("x.png")["machine"], "device": "cuda:99", "precision": "bf16"}
    edit("x.png", machine=machine)
    assert painted("explain", "x.png").code == 0


def test_pictures_without_the_recipe_of_a_transfer(desk: Desk) -> None:
    ran = desk("explain", "cat.png")
    assert (ran.code, ran.error) == (4, "cat.png carries no recipe")
    assert ran.hint
    words = ["--steps", "1", "--size", "48", "--backbone", "vgg-lite", "-q", "-o", "dream.png"]
    assert desk("dream", "cat.png", *words).code == 0
    ran = desk("explain", "dream.png")
    assert ran.code == 4
    assert ran.error == "dream.png is made by styler dream, only transfers have a loss to explain"
    assert ran.hint == "styler show dream.png tells how it was made"


def test_textures_and_changed_colours_are_explained(desk: Desk) -> None:
    words = ["--size", "48", "--steps", "2", "--backbone", "vgg-lite", "--precision", "fp32"]
    assert desk("texture", "waves.png", *words, "-q", "-o", "t.png").code == 0
    assert {part["term"] for part in explained(desk, "t.png")["parts"]} == {"style", "smoothness"}
    assert desk.transfer("-q", "--color", "content", "-o", "x.png").code == 0
    ran = desk("explain", "x.png")
    assert ran.code == 0
    assert "colours were changed after the run" in ran.err


def test_regions_are_told_apart(desk: Desk) -> None:
    sky = Image.new("L", (64, 48), 0)
    sky.paste(255, (0, 0, 64, 24))
    sky.save("sky.png")
    Image.eval(sky, lambda value: 255 - value).save("sea.png")
    paint(Path("dots.png"), 5)
    masks = ["--content-mask", "sky.png", "--content-mask", "sea.png"]
    styles = ["cat.png", "waves.png", "dots.png"]
    assert desk("transfer", *styles, *TINY, *masks, "-q", "-o", "x.png").code == 0
    terms = list(dict.fromkeys(part["term"] for part in explained(desk, "x.png")["parts"]))
    assert [term for term in terms if term.startswith("style ")] == terms[1:3]
    assert list(stored("x.png")["outcome"]["terms"]) == terms
    Path("moved").mkdir()
    shutil.move("sea.png", "moved/sea.png")
    assert desk("explain", "x.png").code == 4
    words = ["--content-mask", "sky.png", "--content-mask", "moved/sea.png"]
    assert desk("explain", "x.png", *words).code == 0


def test_help_has_examples(desk: Desk) -> None:
    ran = desk("explain", "--help")
    assert "styler explain cat+waves.png -o why.html" in ran.out
    assert desk("explain").code == 2
