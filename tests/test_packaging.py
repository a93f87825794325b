"""The wheel: what it holds, and that it works without the checkout it was built from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
NEEDED = ("styler", "presets", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays as it is."""
    tree = tmp_path_factory.mktemp("tree")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "tests" / "losses", tree / "tests" / "losses")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
    done = subprocess.run(build, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (tree / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel's files."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_what_it_needs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"styler/py.typed", "styler/features/data/vgg-lite.safetensors"} <= names
    assets = {str(path.relative_to(ROOT)) for path in (ROOT / "styler/report/assets").iterdir()}
    assert {name for name in names if name.startswith("styler/report/assets/")} == assets != set()
    shipped = {f"styler/_presets/{p.relative_to(ROOT / 'presets')}" for p in presets()}
    assert {name for name in names if name.startswith("styler/_presets/")} == shipped
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "styler").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    tops = {name.split("/")[0] for name in names}
    assert tops == {"styler", next(top for top in tops if top.endswith(".dist-info"))}
    assert wheel.stat().st_size < 20e6, "PyPI's visitors wait for every megabyte"


def presets() -> list[Path]:
    found = sorted((ROOT / "presets").rglob("*.toml"))
    assert found
    return found


def test_its_metadata(installed: Path) -> None:
    (info,) = installed.glob("styler-*.dist-info")
    text = (info / "METADATA").read_text(encoding="utf-8")
    assert "\nName: styler\n" in text
    assert "\nRequires-Python: >=3.11\n" in text
    assert "\nRequires-Dist: torch" in text
    assert (info / "entry_points.txt").read_text() == (
        "[console_scripts]\nstyler = styler.cli.main:main\n"
    )
    assert list(info.rglob("LICENSE"))


def python(installed: Path, cwd: Path, *words: str) -> str:
    """Run Python on the unpacked wheel, far from the checkout."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "OMP_NUM_THREADS": "1",
        "STYLER_WEIGHTS_DIR": "",
        "STYLER_CACHE_DIR": str(cwd / "cache"),
    }
    command = [sys.executable, "-W", "error", *words]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_finds_its_presets(installed: Path, tmp_path: Path) -> None:
    code = "import styler.presets as p; print(p.__file__, p.presets_folder(), sep='\\n')"
    module, folder = python(installed, tmp_path, "-c", code).splitlines()
    assert module == str(installed / "styler" / "presets.py")
    assert folder == str(installed / "styler" / "_presets")
    lines = python(installed, tmp_path, *LIST).splitlines()
    listed = sorted(tuple(line.split()[:2]) for line in lines)
    assert listed == sorted((path.parent.name, path.stem) for path in presets())


LIST = ("-m", "styler", "presets", "list")


def test_it_paints_with_its_own_weights(installed: Path, tmp_path: Path) -> None:
    for name, angle in (("cat.png", 0), ("waves.png", 90)):
        Image.linear_gradient("L").rotate(angle).convert("RGB").save(tmp_path / name)
    words = ("transfer", "cat.png", "waves.png", "--size", "32", "--steps", "1", "-p", "default")
    assert python(installed, tmp_path, "-m", "styler", *words) == "cat+waves.png\n"
    with Image.open(tmp_path / "cat+waves.png") as result:
        assert result.size == (32, 32)
    code = (
        "from styler.features import find_weights, get_backbone;"
        "print(find_weights(get_backbone('vgg-lite')))"
    )
    place = python(installed, tmp_path, "-c", code).strip()
    assert place == str(installed / "styler" / "features" / "data" / "vgg-lite.safetensors")
