"""Which files an attribution is about, and whether they can be written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from styler.attribution.methods import Method
from styler.attribution.settings import AttributeConfig
from styler.errors import UsageError
from styler.images import WRITABLE_EXTENSIONS, check_output
from styler.images.output import failing_as_output_error
from styler.results import check_folder, refuse_source


@dataclass(frozen=True, kw_only=True)
class AttributeJob:
    """What to explain, and where to write it.

    Args:
        image: the photograph's file.
        methods: one or more, each once.
        output: a folder, or a picture's file for one method; None for the current folder.
        config: all settings.
        target: a class or a unit, see `find_target`; None for the class with the highest score.
        overwrite: replace existing files.
    """

    image: Path
    methods: tuple[Method, ...]
    config: AttributeConfig
    output: Path | None = None
    target: str | None = None
    overwrite: bool = False

    @property
    def single(self) -> bool:
        """Whether the output is a picture's file."""
        return self.output is not None and self.output.suffix.lower() in WRITABLE_EXTENSIONS

    @property
    def folder(self) -> Path:
        """Where the files go."""
        if self.output is None:
            return Path()
        return self.output.parent if self.single else self.output

    def picture(self, method: Method) -> Path:
        """The file of a method's picture."""
        if self.single and self.output is not None:
            return self.output
        return self.folder / f"{self.image.stem}-{method}.png"

    def array(self, method: Method) -> Path:
        """The file of a method's map, beside its picture."""
        picture = self.picture(method)
        return picture.with_name(f"{picture.stem}.npy")

    @property
    def sheet(self) -> Path | None:
        """The file that shows all methods; None for one alone."""
        if len(self.methods) == 1:
            return None
        return self.folder / f"{self.image.stem}-attribution.png"


def check_files(job: AttributeJob) -> None:
    """Refuse files that could not be written, before any work.

    Raises:
        UsageError: one file for several methods.
        OutputError: a file is there already, is the photograph itself, or cannot be written.
    """
    if job.single and len(job.methods) > 1:
        raise UsageError(
            f"the pictures of {len(job.methods)} methods cannot all be {job.output}",
            "name a folder with -o",
        )
    if not job.single:
        check_folder(job.folder)
    pictures = [*map(job.picture, job.methods), *([job.sheet] if job.sheet else [])]
    for path in pictures:
        refuse_source(path, {"explained": job.image})
    if not job.single and not job.folder.exists():
        return
    for path in pictures:
        check_output(path, overwrite=job.overwrite)
    for method in job.methods:
        check_output(job.array(method), overwrite=job.overwrite, extensions=(".npy",))


def make_folder(folder: Path) -> None:
    """Make the folder of the files, unless it is there.

    Raises:
        OutputError: the system refused.
    """
    with failing_as_output_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
