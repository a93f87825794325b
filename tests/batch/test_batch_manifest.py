"""Tables of jobs: what rows say, and what is said of rows that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from styler.batch.job import BatchJob
from styler.batch.plan import Plan, make_plan
from styler.config import resolve
from styler.errors import ConfigError, ImageError, OutputError, StylerError, UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the manifest, which is not the current one."""
    monkeypatch.chdir(tmp_path)
    names = ("cat.jpg", "sub/dog.jpg", "waves.jpg", "sky.style", "odd|name:2.jpg", "start.png")
    for name in names:
        path = tmp_path / "table" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "far.jpg").touch()
    return tmp_path / "table"


def plan(*contents: str, styles: tuple[str, ...] = (), **options: Any) -> Plan:
    return make_plan(contents, styles, Path("out"), resolve(), **options)


def csv(folder: Path, text: str, encoding: str = "utf-8") -> str:
    (folder / "jobs.csv").write_bytes(text.encode(encoding))
    return "table/jobs.csv"


def jsonl(folder: Path, *rows: Any) -> str:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "jobs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return "table/jobs.jsonl"


def styles_of(job: BatchJob) -> list[tuple[str, float]]:
    return [(style.path.name, style.weight) for style in job.styles]


def test_rows_name_contents_styles_results_and_settings(folder: Path) -> None:
    made = plan(
        csv(
            folder,
            "content,style,output,strength,schedule.steps,style.layers.relu1_1,backbone.name\n"
            'cat.jpg,waves.jpg,fine/Cat.jpg,0.8,"[50, 20]",2,vgg-lite\n'
            "\n"
            "sub/dog.jpg,sky.style,,,,,\n"
            "../far.jpg, waves.jpg ,plain,,,,\n",
        )
    )
    assert [job.key for job in made.jobs] == ["fine/Cat.jpg", "plain.png", "sub/dog+sky.png"]
    cat, far, dog = made.jobs
    assert cat.overrides == {
        "strength": 0.8,
        "schedule.steps": [50, 20],
        "style.layers.relu1_1": 2,
        "backbone.name": "vgg-lite",
    }
    assert cat.output == folder.parent / "out/fine/Cat.jpg"
    assert (far.content, far.overrides) == (folder.parent / "far.jpg", {})
    assert (dog.content, styles_of(dog)) == (folder / "sub/dog.jpg", [("sky.style", 1.0)])


def test_both_formats_say_the_same(folder: Path) -> None:
    table = csv(
        folder,
        "content,styles,weights,style.scale,style.loss\n"
        "cat.jpg,waves.jpg:0.7|sky.style:0.3,,,gram\n"
        "sub/dog.jpg,waves.jpg|sky.style,7|3,2,\n"
        "far.jpg,waves.jpg,,,\n".replace("far.jpg", "../far.jpg"),
    )
    lines = jsonl(
        folder,
        {"content": "cat.jpg", "styles": ["waves.jpg:0.7", "sky.style:0.3"], "style.loss": "gram"},
        {
            "content": "sub/dog.jpg",
            "style": ["waves.jpg", "sky.style"],
            "weights": [7, 3],
            "style.scale": 2,
            "output": None,
        },
        "",
        {"content": "../far.jpg", "styles": "waves.jpg"},
    )
    assert plan(table).jobs == plan(lines).jobs
    cat, _, dog = plan(lines).jobs
    assert (cat.key, styles_of(cat)) == (
        "cat+waves+sky.png",
        [("waves.jpg", 0.7), ("sky.style", 0.3)],
    )
    assert styles_of(dog) == [("waves.jpg", 7.0), ("sky.style", 3.0)]


def test_only_proportions_of_weights_count(folder: Path) -> None:
    rows = [
        {"content": "cat.jpg", "styles": ["waves.jpg", "sky.style"], "weights": weights}
        for weights in ([7, 3], [0.7, 0.3], [3, 7])
    ]
    first, second, third = (plan(jsonl(folder, row)).jobs[0].digest for row in rows)
    assert first == second != third


def test_settings_change_the_digest_and_only_they(folder: Path) -> None:
    row = {"content": "cat.jpg", "style": "waves.jpg"}
    plain, same, other = (
        plan(jsonl(folder, {**row, **more})).jobs[0].digest
        for more in ({}, {"strength": 0.5, "output": "x"}, {"strength": 0.6})
    )
    assert plain == same != other


def test_rows_that_differ_only_in_settings_get_different_names(folder: Path) -> None:
    rows = [{"content": "cat.jpg", "style": "waves.jpg", "strength": s} for s in (0.2, 0.8, 0.8)]
    made = plan(jsonl(folder, *rows))
    assert len({job.key for job in made.jobs}) == 2
    assert all(job.key.startswith("cat+waves-") for job in made.jobs)
    assert [why for _, why in made.left_out] == ["named twice with the same styles and settings"]


def test_rows_without_styles_take_those_of_the_batch(folder: Path) -> None:
    table = csv(folder, "content,style\ncat.jpg,\nsub/dog.jpg,sky.style\n")
    made = plan(table, "far.jpg", styles=("table/waves.jpg", "table/sky.style"))
    assert [job.key for job in made.jobs] == [
        "cat+sky.png",
        "cat+waves.png",
        "far+sky.png",
        "far+waves.png",
        "sub/dog+sky.png",
    ]
    paired = plan(table, "far.jpg", styles=("table/waves.jpg", "table/sky.style"), zip_=True)
    assert [job.key for job in paired.jobs] == ["cat+waves.png", "far+sky.png", "sub/dog+sky.png"]


def test_a_manifest_of_styles_blends_and_sets(folder: Path) -> None:
    table = csv(folder, "styles,style.scale\nwaves.jpg:2|sky.style,0.5\nwaves.jpg,\n")
    contents = jsonl(folder, {"content": "cat.jpg", "strength": 0.9})
    blend, single = plan(contents, styles=(table,)).jobs
    assert (blend.key, single.key) == ("cat+waves+sky.png", "cat+waves.png")
    assert blend.overrides == {"strength": 0.9, "style.scale": 0.5}
    assert single.overrides == {"strength": 0.9}


def test_a_name_with_bars_and_colons_is_one_style(folder: Path) -> None:
    table = csv(folder, "content,style\ncat.jpg,odd|name:2.jpg\n")
    assert styles_of(plan(table).jobs[0]) == [("odd|name:2.jpg", 1.0)]


def test_files_among_the_settings_are_found_beside_the_manifest(folder: Path) -> None:
    table = csv(folder, "content,style,init.image\ncat.jpg,waves.jpg,start.png\n")
    assert plan(table).jobs[0].overrides == {
        "init.image": str(folder / "start.png"),
        "init.kind": "image",
    }
    table = csv(folder, "content,style,init.image\ncat.jpg,waves.jpg,stort.png\n")
    with pytest.raises(ImageError, match="no such file") as caught:
        plan(table)
    assert caught.value.hint == "did you mean start.png?"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffcontent,style\r\ncat.jpg,waves.jpg\r\n",
        "content;style\ncat.jpg;waves.jpg",
        "content\tstyle\ncat.jpg\twaves.jpg\n",
        " content , style ,,\n cat.jpg , waves.jpg ,,\n,,,\n",
        '"content","style"\n"cat.jpg","waves.jpg"\n\n',
        "content,style,strength\ncat.jpg,waves.jpg\n",
    ],
)
def test_what_spreadsheets_write_is_read(folder: Path, text: str) -> None:
    assert [job.key for job in plan(csv(folder, text)).jobs] == ["cat+waves.png"]


BAD_TABLES = [
    ("", UsageError, "table/jobs.csv has no rows", "columns are content"),
    ("content,style\n", UsageError, "has no rows", None),
    ("contnet,style\ncat.jpg,waves.jpg", ConfigError, "unknown column 'contnet'", "content"),
    ("content,scale\ncat.jpg,2", ConfigError, "unknown column 'scale'", "style.scale"),
    ("content,zzz\ncat.jpg,2", ConfigError, r"'zzz' \(row 1 of table/jobs.csv\)", "columns are"),
    ("cat.jpg,waves.jpg\n", ConfigError, "unknown column 'cat.jpg'", None),
    ("content,content\ncat.jpg,cat.jpg", UsageError, "two columns content", None),
    ("content,style\ncat.jpg,waves.jpg,3\n", UsageError, "row 2 .*without a name", "quote"),
    ("content,,style\ncat.jpg,x,waves.jpg\n", UsageError, "row 2 .*without a name", None),
    ('content,style\ncat.jpg,"waves.jpg\n', UsageError, "row 2 of table/jobs.csv is not", None),
    ("style\nwaves.jpg", UsageError, "row 2 .*names no content", None),
    ("content\ncat.jpg", UsageError, "no style for row 2", None),
    ("content,style\ncat.jpg,waves.jpg\ncta.jpg,waves.jpg", ImageError, "row 3 .*cta.jpg", "cat"),
    ("content,style\ncat.jpg,wave.jpg", ImageError, "row 2 .*wave.jpg", "waves.jpg"),
    ("content,style\nsub,waves.jpg", ImageError, "row 2 .*is a folder", "files"),
    ("content,style\ncat.jpg,jobs.csv", ImageError, "row 2 .*not a picture", ".style"),
    ("content,style\nsky.style,waves.jpg", ImageError, "row 2 .*not a picture", ".jpg"),
    ("content,style\ncat.jpg,waves.jpg:0", UsageError, "row 2 .*weight", None),
    ("content,style\ncat.jpg,waves.jpg:nan", UsageError, "row 2 .*weight", None),
    ("content,style\ncat.jpg,waves.jpg:x", UsageError, "row 2 .*'x' is no weight", None),
    ("content,style\ncat.jpg,waves.jpg|", UsageError, "row 2 .*no list of names", None),
    ("content,style,styles\ncat.jpg,waves.jpg,waves.jpg", UsageError, "a style and styles", None),
    ("content,style,weights\ncat.jpg,waves.jpg,1|2", UsageError, "1 styles and 2 weights", None),
    ("content,style,weights\ncat.jpg,waves.jpg,a", UsageError, "row 2.*no numbers", None),
    ("content,style,weights\ncat.jpg,waves.jpg,-1", UsageError, "row 2.*weight", None),
    ("content,style,weights\ncat.jpg,waves.jpg:2,1", UsageError, "weight twice", None),
    ("content,style,strength\ncat.jpg,waves.jpg,1.5", ConfigError, "strength = 1.5 .row 2", None),
    ("content,style,strength\ncat.jpg,waves.jpg,nan", ConfigError, "row 2 .*jobs.csv", None),
    ("content,style,style.loss\ncat.jpg,waves.jpg,grim", ConfigError, "grim.*row 2", "gram"),
    ("content,style,output\ncat.jpg,waves.jpg,/x.png", UsageError, "row 2.*not in the", None),
    ("content,style,output\ncat.jpg,waves.jpg,a/../../x.png", UsageError, "not in the", None),
    ("content,style,output\ncat.jpg,waves.jpg,.", UsageError, "row 2.*not in the", None),
    ("content,style,output\ncat.jpg,waves.jpg,x.gif", OutputError, "cannot write '.gif'", ".png"),
    (f"content,style,output\ncat.jpg,waves.jpg,{'x' * 250}", UsageError, "too long", None),
    (
        "content,style,output\ncat.jpg,waves.jpg,x\nsub/dog.jpg,waves.jpg,X.PNG",
        UsageError,
        "two pictures would be X.PNG: row 2 .*; row 3 ",
        None,
    ),
]


@pytest.mark.parametrize(("text", "error", "message", "hint"), BAD_TABLES)
def test_bad_tables_are_refused_with_the_row(
    folder: Path, text: str, error: type[StylerError], message: str, hint: str | None
) -> None:
    with pytest.raises(error, match=message) as caught:
        plan(csv(folder, text))
    assert (hint or "") in str(caught.value.hint)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "row 2 of table/jobs.jsonl is not JSON"),
        ("[1]", "row 2 .*is no object"),
        ('{"content": "a", "content": "b"}', "row 2 .*stands twice"),
        ({"content": 5}, "row 2.*content = 5 is no name"),
        ({"content": ""}, "row 2.*is no name"),
        ({"content": "cat.jpg", "styles": [1]}, "row 2.*no list of names"),
        ({"content": "cat.jpg", "styles": {"a": 1}}, "row 2.*no list of names"),
        ({"content": "cat.jpg", "styles": ["waves.jpg"], "weights": ["x"]}, "row 2.*no numbers"),
        ({"content": "cat.jpg", "styles": [], "strength": [1]}, "row 2"),
        ({"content": "cat.jpg", "style": "waves.jpg", "optimizer": {"lr": 1}}, "'optimizer'"),
        ("[" * 100_000, "row 2 .*is not JSON"),
    ],
)
def test_bad_lines_are_refused_with_the_row(folder: Path, row: Any, message: str) -> None:
    good = {"content": "cat.jpg", "style": "waves.jpg"}
    with pytest.raises((UsageError, ConfigError), match=message):
        plan(jsonl(folder, good, row))


def test_unreadable_manifests_are_refused(folder: Path) -> None:
    csv(folder, "content\n")
    with pytest.raises(UsageError, match=r"no such file: table/jbos.csv") as caught:
        plan("table/jbos.csv")
    assert caught.value.hint == "did you mean jobs.csv?"
    with pytest.raises(UsageError, match=r"row 3 of table/jobs.csv is not UTF-8"):
        plan(csv(folder, "content,style\ncat.jpg,waves.jpg\ncafé.jpg,waves.jpg\n", "latin-1"))
    (folder / "dir.csv").mkdir()
    with pytest.raises(UsageError, match=r"cannot read table/dir.csv: Is a directory"):
        plan("table/dir.csv")
    with pytest.raises(UsageError, match=r"row 2 of table/jobs.csv is not CSV: field larger"):
        plan(csv(folder, f"content,style\ncat.jpg,{'x' * 200_000}\n"))


def test_styles_that_nothing_would_take_are_refused(folder: Path) -> None:
    table = csv(folder, "content,style\ncat.jpg,waves.jpg\n")
    with pytest.raises(UsageError, match="have styles of their own"):
        plan(table, styles=("table/sky.style",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("style.scale\n2\n", "row 2 .*names no style"),
        ("content,style\ncat.jpg,waves.jpg\n", "row 2 .*names its content"),
        ("style,output\nwaves.jpg,x\n", "row 2 .*names its output"),
    ],
)
def test_rows_among_the_styles_name_styles_only(folder: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan("far.jpg", styles=(csv(folder, text),))


def test_one_output_for_several_styles_is_refused(folder: Path) -> None:
    table = csv(folder, "content,output\ncat.jpg,x\n")
    with pytest.raises(UsageError, match="two pictures would be x"):
        plan(table, styles=("table/waves.jpg", "table/sky.style"))


def test_names_that_rows_give_go_before_others(folder: Path) -> None:
    table = csv(folder, "content,style,output\nsub/dog.jpg,waves.jpg,CAT+waves\n")
    assert [job.key for job in plan(table, "table/cat.jpg", styles=("table/waves.jpg",)).jobs] == [
        "CAT+waves.png",
        "cat.jpg+waves.png",
    ]
