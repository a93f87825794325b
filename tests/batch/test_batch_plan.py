"""From files, folders and globs to jobs: which pictures, under which names, in which order."""

from __future__ import annotations

import os
import pickle
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from styler.batch.names import LONGEST, fold
from styler.batch.plan import Plan, make_plan, parse_shard
from styler.batch.settings import with_overrides
from styler.config import resolve
from styler.errors import ImageError, OutputError, StylerError, UsageError

Planner = Callable[..., Plan]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, "photos/cat.jpg", "photos/sub/cat.jpg", "photos/sub/deep/Dog 1.PNG")
    fill(tmp_path, "art/waves.jpg", "art/sky.style")
    return tmp_path


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))


def plan(contents: Any = "photos", styles: Any = "art/waves.jpg", **options: Any) -> Plan:
    listed = [[names] if isinstance(names, str) else names for names in (contents, styles)]
    settings = options.pop("settings", {})
    out = options.pop("out", "out")
    return make_plan(*listed, Path(out), resolve(("test", settings)), **options)


def keys(made: Plan) -> list[str]:
    return [job.key for job in made.jobs]


def reasons(made: Plan) -> dict[str, str]:
    return {os.path.relpath(path): why for path, why in made.left_out}


def test_all_contents_meet_all_styles_and_the_tree_is_kept(folder: Path) -> None:
    made = plan(styles="art")
    assert keys(made) == [
        "cat+sky.png",
        "cat+waves.png",
        "sub/cat+sky.png",
        "sub/cat+waves.png",
        "sub/deep/Dog 1+sky.png",
        "sub/deep/Dog 1+waves.png",
    ]
    job = made.jobs[3]
    assert job.content == folder / "photos/sub/cat.jpg"
    assert [(s.path, s.weight) for s in job.styles] == [(folder / "art/waves.jpg", 1.0)]
    assert job.output == folder / "out/sub/cat+waves.png"
    assert (made.total, made.left_out) == (6, ())
    assert not (folder / "out").exists()
    assert pickle.loads(pickle.dumps(made.jobs[0].overrides)) == {}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*.jpg", ["cat"]),
        ("photos/**", ["cat", "sub/cat", "sub/deep/Dog 1"]),
        ("photos/**/*.jpg", ["cat", "sub/cat"]),
        ("photos/**/Dog*", ["sub/deep/Dog 1"]),
        ("photos/s?b/cat.*", ["sub/cat"]),
        ("**/deep/**", ["photos/sub/deep/Dog 1"]),
        ("photos/[a-c]*.[jp]*g", ["cat"]),
    ],
)
def test_globs_give_what_a_shell_gives(folder: Path, pattern: str, expected: list[str]) -> None:
    assert keys(plan(pattern)) == [f"{name}+waves.png" for name in expected]


def test_folders_that_a_glob_matches_are_taken_whole_with_and_without_quotes(folder: Path) -> None:
    quoted = {job.content for job in plan("photos/*").jobs}
    unquoted = {job.content for job in plan([str(p) for p in Path("photos").glob("*")]).jobs}
    assert quoted == unquoted == {job.content for job in plan().jobs}


def test_a_file_whose_name_looks_like_a_glob_is_that_file(folder: Path) -> None:
    fill(folder, "a[1].jpg", "a1.jpg")
    assert keys(plan("a[1].jpg")) == ["a[1]+waves.png"]


def test_what_is_no_picture_is_left_out_and_said(folder: Path) -> None:
    fill(
        folder, "photos/notes.txt", "photos/.hidden.jpg", "photos/.cache/x.jpg", "photos/._cat.jpg"
    )
    fill(folder, "photos/text.jpg", "photos/old.style")
    (folder / "photos/empty.png").touch()
    (folder / "photos/gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / "photos/pipe.jpg")
    made = plan()
    assert {"text+waves.png", "empty+waves.png"} < set(keys(made)), "these fail later, as jobs"
    assert reasons(made) == {
        "photos/notes.txt": "its name is not that of one of the pictures",
        "photos/old.style": "its name is not that of one of the pictures",
        "photos/.hidden.jpg": "hidden",
        "photos/.cache": "hidden",
        "photos/._cat.jpg": "hidden",
        "photos/gone.jpg": "a link to nothing",
        "photos/pipe.jpg": "a pipe or device",
    }
    shell = plan([str(path) for path in (folder / "photos").glob("[!.]*")])
    assert {job.content for job in shell.jobs} == {job.content for job in made.jobs}


def test_hidden_files_count_when_they_are_named(folder: Path) -> None:
    fill(folder, "photos/.hidden.jpg")
    assert keys(plan("photos/.hidden.jpg")) == [".hidden+waves.png"]


def test_the_folder_of_the_results_is_no_content(folder: Path) -> None:
    fill(folder, "photos/out/cat+waves.png", "photos/out/sub/cat+waves.png")
    for contents in ("photos", "photos/**/*", "photos/*"):
        made = plan(contents, out="photos/out")
        assert len(made.jobs) == 3
        assert reasons(made) == {"photos/out": "the results of the batch itself"}
    assert len(plan("photos/out", out="photos/out/again").jobs) == 2


@pytest.mark.parametrize(("contents", "out"), [("photos", "photos"), ("photos/sub", "photos")])
def test_results_that_would_be_contents_the_next_time_are_refused(
    folder: Path, contents: str, out: str
) -> None:
    fill(folder, "photos/sub/sub/owl.jpg")
    with pytest.raises(OutputError, match="would be taken for a source the next time"):
        plan(contents, out=out)


def test_a_glob_that_the_results_do_not_match_may_share_their_folder(folder: Path) -> None:
    fill(folder, "owl.jpg")
    assert keys(plan("*.jpg", out=".")) == ["owl+waves.png"]
    with pytest.raises(OutputError, match="would be taken"):
        plan("*.jpg", out=".", extension=".jpg")


def test_links_are_followed_and_circles_are_not(folder: Path) -> None:
    (folder / "photos/a-link").symlink_to(folder / "photos/sub")
    (folder / "photos/sub/up").symlink_to(folder / "photos")
    (folder / "photos/self").symlink_to("self")
    (folder / "photos/friend.jpg").symlink_to(folder / "photos/cat.jpg")
    fill(folder, "elsewhere/owl.jpg")
    (folder / "photos/other").symlink_to(folder / "elsewhere")
    for contents in ("photos", "photos/**"):
        made = plan(contents)
        assert keys(made) == [
            "cat+waves.png",
            "friend+waves.png",
            "other/owl+waves.png",
            "sub/cat+waves.png",
            "sub/deep/Dog 1+waves.png",
        ]
        assert set(reasons(made)) == {"photos/a-link", "photos/sub/up", "photos/self"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_folders_that_cannot_be_listed_are_left_out(folder: Path) -> None:
    (folder / "photos/sub").chmod(0)
    try:
        made = plan()
        assert keys(made) == ["cat+waves.png"]
        assert reasons(made) == {"photos/sub": "cannot be listed: Permission denied"}
        with pytest.raises(ImageError, match="cannot be listed"):
            plan("photos/sub")
    finally:
        (folder / "photos/sub").chmod(0o755)


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (["cat.jpg", "cat.png"], ["cat.jpg+waves.png", "cat.png+waves.png"]),
        (["cat.jpg", "dog.png"], ["cat+waves.png", "dog+waves.png"]),
        (["x.jpg", "X.png"], ["X.png+waves.png", "x.jpg+waves.png"]),
        (
            ["a.jpg", "a.png", "a.jpg.png"],
            ["a+waves.jpg.png", "a.jpg.png+waves.png", "a.png+waves.png"],
        ),
    ],
)
def test_colliding_names_keep_endings(
    folder: Path, contents: list[str], expected: list[str]
) -> None:
    fill(folder, *contents)
    assert keys(plan(contents)) == expected


def test_styles_that_collide_keep_endings_too(folder: Path) -> None:
    fill(folder, "art/waves.png")
    assert keys(plan("photos/cat.jpg", "art/waves.*")) == [
        "cat+waves.jpg.png",
        "cat+waves.png.png",
    ]
    fill(folder, "photos/cat.png")
    assert keys(plan("photos/cat.*", "art/waves.*")) == [
        "cat.jpg+waves.jpg.png",
        "cat.jpg+waves.png.png",
        "cat.png+waves.jpg.png",
        "cat.png+waves.png.png",
    ]


def test_equal_names_from_two_places_get_a_hash_that_stays(folder: Path) -> None:
    fill(folder, "more/cat.jpg", "more/Cat.JPG")
    names = keys(plan(["photos/cat.jpg", "more/cat.jpg"]))
    assert len(set(names)) == 2
    assert all(len(name) == len("cat+waves-01234567.png") for name in names)
    assert names == keys(plan(["more/cat.jpg", "photos/cat.jpg"]))
    assert len({fold(name) for name in keys(plan("more"))}) == 2


def test_names_that_normalisation_makes_one_collide(folder: Path) -> None:
    names = [unicodedata.normalize(form, "Café") + ".jpg" for form in ("NFC", "NFD")]
    assert names[0] != names[1]
    fill(folder, *names)
    got = keys(plan(names))
    assert len({unicodedata.normalize("NFC", name) for name in got}) == 2


def test_a_folder_may_be_called_like_a_result(folder: Path) -> None:
    fill(folder, "odd/cat.jpg", "odd/cat+waves.png/owl.jpg")
    got = keys(plan("odd"))
    assert "cat+waves.png/owl+waves.png" in got
    assert "cat+waves.png" not in got


def test_long_names_are_cut_and_stay_apart(folder: Path) -> None:
    fill(folder, *(f"{'ü' * 120}{i}.jpg" for i in range(3)), f"{'y' * 240}.style")
    made = plan("*.jpg", f"{'y' * 240}.style")
    assert len(set(keys(made))) == 3
    for job in made.jobs:
        assert len(job.output.name.encode()) <= LONGEST
        job.output.parent.mkdir(exist_ok=True)
        job.output.touch()


def test_names_that_are_no_unicode_are_spelled_out(folder: Path) -> None:
    try:
        fill(folder, os.fsdecode(b"caf\xe9.jpg"))
    except OSError:
        pytest.skip("this file system has Unicode names only")
    made = plan("*.jpg")
    assert keys(made) == ["caf%e9+waves.png"]
    assert os.fsencode(made.jobs[0].content.name) == b"caf\xe9.jpg"


def test_no_result_is_a_source(folder: Path) -> None:
    fill(folder, "cat.jpg", "cat+waves.png")
    with pytest.raises(OutputError, match=r"cat\+waves.png is one of the sources, too"):
        plan(["cat.jpg", "cat+waves.png"], out=".")
    (folder / "out").mkdir()
    (folder / "out/cat+waves.png").symlink_to(folder / "art/waves.jpg")
    with pytest.raises(OutputError, match="one of the sources"):
        plan("cat.jpg")
    (folder / "out/cat+waves.png").unlink()
    start = {"init.kind": "image", "init.image": "out/cat+waves.png"}
    fill(folder, "out/cat+waves.png")
    with pytest.raises(OutputError, match="one of the sources"):
        plan("cat.jpg", settings=start)


def test_pairs_one_by_one(folder: Path) -> None:
    fill(folder, "a.jpg", "b.jpg", "c.jpg", "x.jpg", "y.jpg")
    assert keys(plan(["b.jpg", "a.jpg"], ["x.jpg", "y.jpg"], zip_=True)) == ["a+y.png", "b+x.png"]
    assert keys(plan(["b.jpg", "a.jpg"], ["x.jpg", "x.jpg"], zip_=True)) == ["a+x.png", "b+x.png"]
    assert keys(plan(["b.jpg", "a.jpg"], "x.jpg", zip_=True)) == ["a+x.png", "b+x.png"]
    with pytest.raises(UsageError, match="cannot pair 3 contents with 2 styles"):
        plan(["a.jpg", "b.jpg", "c.jpg"], ["x.jpg", "y.jpg"], zip_=True)
    with pytest.raises(UsageError, match="cannot pair 1 contents with 2 styles"):
        plan("a.jpg", ["x.jpg", "y.jpg"], zip_=True)


def test_what_is_named_twice_is_made_once(folder: Path) -> None:
    (folder / "linked").symlink_to("photos")
    made = plan(["photos", "photos/sub/cat.jpg", "linked/cat.jpg"])
    assert keys(made) == keys(plan())
    assert reasons(made) == {
        "linked/cat.jpg": "named twice with the same styles and settings",
        "photos/sub/cat.jpg": "named twice with the same styles and settings",
    }


@pytest.mark.parametrize(
    ("contents", "styles", "error", "message", "hint"),
    [
        ("fotos", "art", ImageError, "no such file or folder: fotos", "photos"),
        ("photos/cta.jpg", "art", ImageError, "no such file or folder", "did you mean cat.jpg"),
        ("photos", "art/wave.jpg", ImageError, "no such file or folder", "waves.jpg"),
        ("fotos/*.jpg", "art", ImageError, "no such folder", "photos"),
        ("photos/*.tif", "art", ImageError, r"nothing matches photos/\*.tif", ".png"),
        ("empty", "art", ImageError, "no pictures in empty", ".png"),
        ("photos", "empty", ImageError, "no pictures or saved styles in empty", ".style"),
        ("notes.txt", "art", ImageError, "no contents: .*notes.txt is left out", None),
        ([], "art", UsageError, "there are no contents", "manifest"),
        ("photos", [], UsageError, "there is no style for .*cat.jpg", None),
        ("photos", "art/waves.jpg:0.7", UsageError, "carries a weight", "manifest"),
        ("a\0b", "art", ImageError, "no such file or folder", None),
    ],
)
def test_what_cannot_be_found_is_said_at_once(
    folder: Path,
    contents: Any,
    styles: Any,
    error: type[StylerError],
    message: str,
    hint: str | None,
) -> None:
    (folder / "empty").mkdir()
    fill(folder, "notes.txt")
    with pytest.raises(error, match=message) as caught:
        plan(contents, styles)
    assert (hint or "") in str(caught.value.hint)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"limit": 0}, UsageError, "a limit of 0 jobs"),
        ({"shard": (3, 2)}, UsageError, "no shard 3 of 2"),
        ({"extension": ".gif"}, OutputError, "cannot write '.gif' files"),
        ({"settings": {"init.kind": "image", "init.image": "no.jpg"}}, ImageError, "no.jpg"),
        ({"settings": {"backbone.weights": "no.pth"}}, StylerError, "no such file: .*no.pth"),
    ],
)
def test_bad_options_are_refused(
    folder: Path, options: dict[str, Any], error: type[StylerError], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan(**options)


@pytest.mark.parametrize(
    "text", ["", "1", "1/", "0/2", "3/2", "-1/2", "1/0", "a/b", "1/2/3", "1.0/2"]
)
def test_bad_shards_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="shard"):
        parse_shard(text)


def test_shards_are_disjoint_and_together_all(folder: Path) -> None:
    fill(folder, *(f"many/{i}.jpg" for i in range(10)))
    whole = keys(plan("many", "art"))
    shards = [keys(plan("many", "art", shard=(i, 3))) for i in (1, 2, 3)]
    assert [len(shard) for shard in shards] == [7, 7, 6]
    assert shards[1] == whole[1::3]
    assert sorted(key for shard in shards for key in shard) == whole
    assert keys(plan("many", "art", shard=(2, 3), limit=2)) == whole[1::3][:2]
    assert plan("many", "art", shard=(2, 3), limit=2).total == 20


def test_the_plan_does_not_depend_on_the_order_of_arguments(folder: Path) -> None:
    names = [f"many/{name}.jpg" for name in "abcdefgh"]
    fill(folder, *names)
    first = plan(names, "art")
    random.Random(0).shuffle(names)
    assert plan(names, "art").jobs == first.jobs == plan("many", "art").jobs


def digest(**options: Any) -> str:
    return plan("photos/cat.jpg", options.pop("styles", "art/waves.jpg"), **options).jobs[0].digest


def test_digests_tell_when_a_picture_must_be_made_again(folder: Path) -> None:
    fill(folder, "start.png", "net.pth", "art/other.jpg")
    start = {"init.kind": "image", "init.image": "start.png"}
    variants = [
        {},
        {"settings": {"strength": 0.4}},
        {"settings": {"runtime.seed": 1}},
        {"settings": {"runtime.precision": "fp32"}},
        {"settings": start},
        {"settings": {"backbone.weights": "net.pth"}},
        {"styles": "art/other.jpg"},
        {"bit_depth": 16},
    ]
    digests = [digest(**variant) for variant in variants]
    assert len(set(digests)) == len(variants)
    assert digests == [digest(**variant) for variant in variants]
    assert digest(settings={"runtime.device": "cpu"}) == digest()
    assert digest(settings={"runtime.precision": "auto", "strength": 0.5}) == digest()
    before = digest(settings=start)
    os.utime(folder / "start.png", ns=(0, 1))
    assert digest(settings=start) != before


@pytest.mark.parametrize("name", ["photos/cat.jpg", "art/waves.jpg"])
def test_digests_follow_size_and_time_of_each_source(folder: Path, name: str) -> None:
    before = digest()
    stamp = os.stat(folder / name)
    (folder / name).write_bytes(b"another")
    os.utime(folder / name, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    resized = digest()
    os.utime(folder / name, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1_000_000))
    assert len({before, resized, digest()}) == 3


def test_overrides_lie_over_the_settings_of_the_batch() -> None:
    base = resolve(("preset x", {"style.layers": {"relu1_1": 1.0}, "strength": 0.2}))
    got = with_overrides(base, {"style.layers.relu2_1": 2, "runtime.seed": 7}, "row 2")
    assert got.config.style.layers == {"relu1_1": 1.0, "relu2_1": 2.0}
    assert (got.config.strength, got.config.runtime.seed) == (0.2, 7)
    assert got.origins["strength"] == "preset x"
    assert got.origins["style.layers"] == got.origins["runtime.seed"] == "row 2"
    assert got.origins["style.scale"] == "default"
    assert with_overrides(base, {}) is base
