"""The gallery of a batch, as a file."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest
import torch
from gallery_builders import EVIL, TRACE, embedded, plain, record
from PIL import Image

from styler.batch.job import JobRecord
from styler.errors import OutputError, UsageError
from styler.images import read_picture, write_picture
from styler.report.gallery import (
    PAGE,
    SHEET,
    SHEET_MOST,
    SHEET_SIDE,
    check_gallery,
    write_gallery,
)
from styler.report.sheets import GAP, LABEL
from styler.report.thumbnails import THUMBNAILS


def write(folder: Path, *records: JobRecord, **settings: Any) -> str:
    page = write_gallery(folder, records, title="Batch", settings=settings)
    assert page == folder / PAGE
    return page.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """The elements of a page and their attributes, as a browser would find them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_a_job_is_told_in_full(tmp_path: Path) -> None:
    other = plain(tmp_path / "styles" / "second.png")
    job = record(
        tmp_path,
        "sub/one.png",
        styles=((str(tmp_path / "style.png"), 3.0), (str(other), 1.0)),
        overrides={"optimization.steps": 50, "layers": ["relu1_1"], "start": None},
        seconds=75.25,
        losses={"content": 1 / 3, "total": 12.5},
        trace=TRACE,
        size=(20, 40),
        attempts=2,
    )
    data = embedded(write(tmp_path, job))
    (told,) = data["jobs"]
    names = [picture["name"] for picture in data["pictures"]]
    assert [names[told["content"]], names[told["result"]]] == ["content.png", "sub/one.png"]
    assert [(names[at], weight) for at, weight in told["styles"]] == [
        ("style.png", 3),
        ("second.png", 1),
    ]
    urls = [picture["url"] for picture in data["pictures"]]
    assert urls == ["sub/one.png", "content.png", "style.png", "styles/second.png"]
    assert told["losses"] == {"content": 0.333333, "total": 12.5}
    assert (told["loss"], told["seconds"], told["time"]) == (12.5, 75.25, "1:15 min")
    assert (told["curve"], told["span"]) == ("0,2 100,30 200,58", [1000, 10, 10])
    assert told["overrides"] == ["optimization.steps = 50", 'layers = ["relu1_1"]', "start = none"]
    assert (told["size"], told["attempts"], told["state"]) == ([20, 40], 2, "done")


def test_a_failed_job_has_its_error_and_no_result(tmp_path: Path) -> None:
    plain(tmp_path / "one.png")  # of an earlier run with other settings
    job = record(tmp_path, "one.png", state="failed", error="out of memory", trace=TRACE)
    data = embedded(write(tmp_path, job))
    (told,) = data["jobs"]
    assert told["error"] == "out of memory"
    assert told["loss"] == 10
    assert "result" not in told
    assert [picture["name"] for picture in data["pictures"]] == ["content.png", "style.png"]
    assert not (tmp_path / SHEET).exists()


def test_counts_times_and_settings_stand_on_top(tmp_path: Path) -> None:
    states = ("done", "done", "failed", "waiting", "running")
    jobs = [
        record(tmp_path, f"{n}.png", state=state, seconds=None if n > 2 else 100.0 * (n + 1))
        for n, state in enumerate(states)
    ]
    page = write(tmp_path, *jobs, **{"content.weight": 2.5, "a<b": "x & y"})
    assert "5 jobs, 2 done, 1 failed, 1 running, 1 waiting, 10:00 min of work" in page
    assert 'aria-label="jobs by time: 3, median 3:20 min"' in page
    assert "<tr><th scope=row>content.weight</th><td>2.5</td></tr>" in page
    assert "<tr><th scope=row>a&lt;b</th><td>x &amp; y</td></tr>" in page


def test_an_empty_batch_has_a_page(tmp_path: Path) -> None:
    page = write(tmp_path / "new" / "folder")
    assert embedded(page) == {"pictures": [], "jobs": []}
    assert "0 jobs, 0.0 s of work" in page
    assert "<rect" not in page


def test_no_text_becomes_markup_and_links_lead_to_their_files(tmp_path: Path) -> None:
    content = plain(tmp_path / "in: 50%" / EVIL)
    job = record(
        tmp_path,
        EVIL,
        content=str(content),
        overrides={"</script><b>": "<!--"},
        error="</script><script>alert(2)</script>",
    )
    page = write_gallery(
        tmp_path, [job], title=f"</title>{EVIL}", settings={"<i>": "<b>"}
    ).read_text(encoding="utf-8")
    tags = Tags(page).found
    assert [attributes.get("id") for tag, attributes in tags if tag == "script"] == ["data", None]
    assert not {"b", "i"} & {tag for tag, _ in tags}
    data = embedded(page)
    assert data["jobs"][0]["key"] == EVIL
    assert data["jobs"][0]["overrides"] == ["</script><b> = <!--"]
    for picture in data["pictures"]:
        assert not re.search(r"[^A-Za-z0-9/%._~-]", picture["url"])
        assert (tmp_path / unquote(picture["url"])).is_file()
        assert (tmp_path / THUMBNAILS / f"{picture['thumb']}.jpg").is_file()


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode text there")
def test_names_that_are_no_unicode_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n.png")
    try:
        plain(tmp_path / name)
    except OSError:
        pytest.skip("the file system takes Unicode names alone")
    job = record(tmp_path, name, overrides={name: name})
    data = embedded(write(tmp_path, job, **{name: name}))
    assert data["jobs"][0]["key"] == "caf?\n.png"
    assert unquote_to_bytes(data["pictures"][0]["url"]) == b"caf\xe9\n.png"
    assert (tmp_path / SHEET).is_file()


def test_the_page_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = write(tmp_path, record(tmp_path, "one.png", seconds=1.0, trace=TRACE))
    assert "//" not in re.sub(r"(?m)(^|\s)// .*$", "", page)  # comments of the script aside
    outside = {"src", "srcset", "action", "poster"}
    for tag, attributes in Tags(page).found:
        assert not outside & set(attributes)
        assert attributes.get("href") in (None, "data:,", SHEET), tag


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        folder = tmp_path / name
        write(folder, *(record(folder, f"{n}.png", seconds=2.0 + n) for n in range(3)), steps=5)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        written.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert len(written[0]) == 3 + 2 + 5 + 2  # results, sources, thumbnails, page and sheet


def thumbnail(folder: Path, page: str, number: int = 0) -> Path:
    return folder / THUMBNAILS / f"{embedded(page)['pictures'][number]['thumb']}.jpg"


def test_thumbnails_are_small_upright_and_on_grey(tmp_path: Path) -> None:
    long = Image.new("RGB", (900, 300), "lime")
    turned = Image.Exif()
    turned[0x0112] = 6
    long.save(tmp_path / "long.jpg", exif=turned)
    clear = torch.zeros(1, 1, 30, 50)
    write_picture(tmp_path / "clear.png", torch.ones(1, 3, 30, 50), alpha=clear)
    jobs = [record(tmp_path, "long.jpg"), record(tmp_path, "clear.png")]
    page = write(tmp_path, *jobs)
    data = embedded(page)
    sizes = []
    for job in data["jobs"]:
        with Image.open(thumbnail(tmp_path, page, job["result"])) as small:
            sizes.append(small.size)
            middle = small.getpixel((small.width // 2, small.height // 2))
    assert sizes == [(107, 320), (50, 30)]
    assert middle == (128, 128, 128)


def test_thumbnails_are_made_once_and_again_for_a_changed_picture(tmp_path: Path) -> None:
    job = record(tmp_path, "one.png")
    small = thumbnail(tmp_path, write(tmp_path, job))
    small.write_bytes(b"kept")
    os.utime(small, ns=(os.stat(job.output).st_mtime_ns,) * 2)
    (tmp_path / SHEET).unlink()
    failed = record(tmp_path, "one.png", state="failed")
    write(tmp_path, failed)
    assert small.read_bytes() == b"kept"
    plain(tmp_path / "one.png", "lime")
    os.utime(job.output, (1e9, 1e9))  # an older picture in the place of a newer one
    write(tmp_path, job)
    assert read_picture(small).pixels[0, :, 5, 5].round().tolist() == [0, 1, 0]
    first = small.stat()
    write(tmp_path, job)
    again = small.stat()
    assert (first.st_ino, first.st_mtime_ns) == (again.st_ino, again.st_mtime_ns)


def test_pictures_that_cannot_be_shown_are_named_with_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    statistics = tmp_path / "calm.style"
    statistics.write_bytes(b"numbers")
    job = record(
        tmp_path,
        "gone.png",
        content=str(broken),
        styles=((str(statistics), 1.0), (str(tmp_path), 1)),
    )
    Path(job.output).unlink()
    data = embedded(write(tmp_path, job, start="x"))
    problems = {picture["name"]: picture["problem"] for picture in data["pictures"]}
    assert problems.pop("broken.jpg").startswith("cannot read broken.jpg: damaged")
    assert problems == {
        "gone.png": "no such file: gone.png",
        "calm.style": "saved statistics of a style",
        tmp_path.name: f"expected a picture, got a folder: {tmp_path.name}",
    }
    assert list((tmp_path / THUMBNAILS).iterdir()) == []
    assert not (tmp_path / SHEET).exists()


def test_links_survive_a_move_of_the_folder_with_its_pictures(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    content = plain(here / "in" / "cat.png")
    style = plain(tmp_path / "styles" / "wave.png")
    job = record(here / "out", "one.png", content=str(content), styles=((str(style), 1.0),))
    page = write(here / "out", job)
    here.rename(there)
    for picture in embedded(page)["pictures"]:
        assert (there / "out" / picture["url"]).resolve().is_file()


def test_links_go_past_links_among_folders(tmp_path: Path) -> None:
    plain(tmp_path / "store" / "deep" / "pictures" / "cat.png")
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path / "store" / "deep" / "pictures")
    job = record(tmp_path / "out", "one.png", content=str(linked / "cat.png"))
    pictures = embedded(write(tmp_path / "out", job))["pictures"]
    assert pictures[1]["url"] == "../store/deep/pictures/cat.png"


def test_relative_paths_are_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = record(Path("out"), "one.png", content="in/cat.png")
    pictures = embedded(write(Path("out"), job))["pictures"]
    assert [picture["url"] for picture in pictures] == ["one.png", "../in/cat.png", "style.png"]
    assert all(picture["thumb"] for picture in pictures)


def test_numbers_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    job = record(
        tmp_path,
        "one.png",
        losses={"content": nan, "total": 1e300},
        trace=((0, 5.0), (1, nan), (2, inf), (3, 4.0)),
        overrides={"weight": nan},
    )
    (told,) = embedded(write(tmp_path, job))["jobs"]
    assert told["losses"] == {"total": 1e300}
    assert told["span"] == [5, 4, 3]
    assert told["overrides"] == ["weight = NaN"]


def test_the_contact_sheet_shows_evenly_chosen_results(tmp_path: Path) -> None:
    for n in range(250):  # the brightness tells which it is
        Image.new("L", (8, 8), n).save(tmp_path / f"{n}.png")
    write(tmp_path, *(record(tmp_path, f"{n}.png") for n in range(250)))
    sheet = read_picture(tmp_path / SHEET).pixels[0].mean(0) * 255
    middles = [
        round(float(sheet[y, x]))
        for y in range(GAP + SHEET_SIDE // 2, sheet.shape[0], SHEET_SIDE + LABEL + 2 * GAP)
        for x in range(GAP + SHEET_SIDE // 2, sheet.shape[1], SHEET_SIDE + GAP)
    ]
    shown = [number for number in middles if number < 255]
    assert shown == [k * 250 // SHEET_MOST for k in range(SHEET_MOST)]


def test_a_result_named_like_the_contact_sheet_stays(tmp_path: Path) -> None:
    job = record(tmp_path, SHEET)
    before = Path(job.output).read_bytes()
    page = write(tmp_path, job)
    assert Path(job.output).read_bytes() == before
    assert "Contact sheet</a>" not in page


def test_another_page_is_never_replaced(tmp_path: Path) -> None:
    job = record(tmp_path, "one.png")
    (tmp_path / PAGE).write_text("<h1>my own</h1>")
    for call in (lambda: write(tmp_path, job), lambda: check_gallery(tmp_path)):
        with pytest.raises(OutputError, match="is no gallery of styler"):
            call()
    assert (tmp_path / PAGE).read_text() == "<h1>my own</h1>"
    assert not (tmp_path / THUMBNAILS).exists()
    (tmp_path / PAGE).unlink()
    check_gallery(tmp_path)
    write(tmp_path, job)
    check_gallery(tmp_path)
    check_gallery(tmp_path / "missing")
    (tmp_path / "taken" / PAGE).mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot write"):
        check_gallery(tmp_path / "taken")


def test_faults_of_the_folder_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "file")
    (tmp_path / THUMBNAILS).write_text("")
    with pytest.raises(OutputError, match=re.escape(THUMBNAILS)):
        write(tmp_path)
    with pytest.raises(UsageError, match="at least 1 pixel"):
        write_gallery(tmp_path, [], title="", settings={}, thumbnails=0)


def test_nothing_but_whole_files_is_left(tmp_path: Path) -> None:
    write(tmp_path, *(record(tmp_path, f"{n}.png") for n in range(3)))
    assert not list(tmp_path.rglob("*.tmp"))
    names = {path.name for path in tmp_path.iterdir()} - {"content.png", "style.png"}
    assert names == {"0.png", "1.png", "2.png", PAGE, SHEET, THUMBNAILS}


def test_the_page_of_ten_thousand_jobs_stays_below_ten_megabytes(tmp_path: Path) -> None:
    trace = tuple((5 * n, 1e5 / (n + 1) + n % 7) for n in range(100))
    jobs = [
        record(
            tmp_path,
            f"photograph_{n % 1000:05}+a style with a longer name {n // 1000}.png",
            state="failed" if n % 9 == 0 else "waiting",
            seconds=n / 7,
            losses={"content": n / 7, "style": n / 1e6, "total": n / 3},
            trace=trace,
            size=(1024, 768),
            overrides={"optimization.steps": n, "content.weight": n / 7},
            error="the optimisation diverged 5 times in a row: lower the learning rate",
        )
        for n in range(10_000)
    ]
    page = write_gallery(tmp_path, jobs, title="Many", settings={})
    assert 3e6 < page.stat().st_size < 10e6
    assert len(embedded(page.read_text(encoding="utf-8"))["jobs"]) == 10_000
