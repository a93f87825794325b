"""Make the pictures of the README and the guide: ``python docs/make_sheets.py [NAME ...]``."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from torch import Tensor

from styler.caricature import caricature
from styler.config import DreamConfig, VisualizeConfig, resolve
from styler.dream import dream
from styler.dreaming.zoom import zoom_frames
from styler.features import find_weights, get_backbone, load_extractor
from styler.images import read_picture
from styler.invert import invert
from styler.network import extractor_for
from styler.reference import default_layers
from styler.report.sheets import contact_sheet
from styler.transfer import transfer
from styler.units import parse_units
from styler.visualize import visualize

ROOT = Path(__file__).parents[1]
IMG = ROOT / "docs" / "img"
FRAME = 24
"""Of a zoom: where the dream has begun to make shapes of its own."""
Row = list[tuple[str, Tensor]]


def content(name: str) -> Tensor:
    return read_picture(ROOT / "samples" / "contents" / f"{name}.jpg").pixels


def style(name: str) -> Tensor:
    return read_picture(ROOT / "samples" / "styles" / f"{name}.jpg").pixels


def paint(photo: str, painting: str, **values: object) -> Tensor:
    config = resolve(("docs", values)).config
    return transfer(content(photo), style(painting), config).image


def gallery() -> list[Row]:
    """Photograph, style and result with the embedded network."""
    pairs = [
        ("chelsea", "flow_field"),
        ("astronaut", "woodcut_waves"),
        ("coffee", "autumn_avenue"),
        ("chelsea", "stained_glass"),
    ]
    return [
        [
            (photo, content(photo)),
            (painting, style(painting)),
            ("styler", paint(photo, painting, **{"backbone.name": "vgg-lite"})),
        ]
        for photo, painting in pairs
    ]


def strength() -> list[Row]:
    """One picture from content to style."""
    values = (0.1, 0.3, 0.5, 0.7, 0.9)
    settings = {"backbone.name": "vgg-lite", "schedule.size": 384}
    return [
        [(f"strength {s}", paint(photo, painting, strength=s, **settings)) for s in values]
        for photo, painting in (("chelsea", "flow_field"), ("astronaut", "stained_glass"))
    ]


def backbones() -> list[Row]:
    """The same recipe with the embedded network and with VGG-19."""
    if find_weights(get_backbone("vgg19-caffe")) is None:
        sys.exit("this sheet needs vgg19-caffe: set STYLER_WEIGHTS_DIR")
    return [
        [
            (name, paint(photo, painting, **{"backbone.name": name}))
            for name in ("vgg-lite", "vgg19-caffe")
        ]
        for photo, painting in (("chelsea", "flow_field"), ("astronaut", "woodcut_waves"))
    ]


def dreams() -> list[Row]:
    """A picture, dreamt freely, after a guide, and in a zoom, with the embedded network."""
    settings = {"backbone.name": "vgg-lite", "schedule.size": 512}
    config = resolve(("docs", settings), root=DreamConfig).config
    extractor = extractor_for(config)
    rows = []
    for photo, guide in (("chelsea", "coffee"), ("coffee", "chelsea"), ("astronaut", "chelsea")):
        image = content(photo)
        guided = dream(image, config, extractor=extractor, guide=content(guide)).image
        *_, last = zoom_frames(image, config, FRAME, extractor=extractor)
        rows.append(
            [
                (photo, image),
                ("styler dream", dream(image, config, extractor=extractor).image),
                (f"--guide {guide}", guided),
                (f"--zoom, frame {FRAME}", last),
            ]
        )
    return rows


def shown(backbone: str, units: list[str], **values: object) -> list[Tensor]:
    """What units look for, by the default recipe."""
    spec = get_backbone(backbone)
    if find_weights(spec) is None:
        sys.exit(f"this sheet needs {backbone}: set STYLER_WEIGHTS_DIR")
    config = resolve(("docs", {"backbone.name": backbone, **values}), root=VisualizeConfig).config
    extractor = extractor_for(config)
    return [one.images for one in visualize(parse_units(units, extractor), extractor, config)]


def in_rows(backbone: str, layers: list[str], count: int, **values: object) -> list[Row]:
    """The first channels of some layers, a row for each."""
    pictures = iter(shown(backbone, [f"{name}:0-{count - 1}" for name in layers], **values))
    return [[(f"{name}:{k}", next(pictures)) for k in range(count)] for name in layers]


def channels() -> list[Row]:
    """Sixteen channels each of five depths of VGG-19."""
    layers = ["relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_1"]
    return in_rows("vgg19-caffe", layers, 16, **{"schedule.size": 112, "schedule.steps": 160})


def taps() -> list[Row]:
    """Eight channels of each taught layer of the embedded network."""
    layers = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"]
    return in_rows("vgg-lite", layers, 8)


def classes() -> list[Row]:
    """What SqueezeNet takes for some classes of ImageNet."""
    labels = ["goldfish", "school bus", "volcano", "golden retriever", "strawberry", "daisy"]
    pictures = shown("squeezenet1_0", [f"logits:{label}" for label in labels])
    return [list(zip(labels, pictures, strict=True))]


def inversions() -> list[Row]:
    """A photograph as five depths of the embedded network keep it, and as they exaggerate it."""
    extractor, photo = load_extractor("vgg-lite", pooling="native"), content("chelsea")
    layers = default_layers(extractor)
    kept = invert(photo, layers, extractor)
    drawn = caricature(photo, layers, extractor)
    return [
        [("photograph", photo), *((f"inverted {p.layer}", p.image) for p in kept)],
        [("photograph", photo), *((f"caricature {p.layer}", p.image) for p in drawn)],
    ]


SHEETS = {
    "gallery": (gallery, 300),
    "strength": (strength, 200),
    "backbones": (backbones, 300),
    "dream": (dreams, 220),
    "channels": (channels, 104),
    "classes": (classes, 224),
    "invert": (inversions, 149),
    "vgg-lite-taps": (taps, 144),
}


def main() -> None:
    IMG.mkdir(exist_ok=True)
    for name in sys.argv[1:] or SHEETS:
        make, height = SHEETS[name]
        sheet = contact_sheet(make(), height)[0].permute(1, 2, 0).numpy()
        pixels = (255 * sheet).round().astype("uint8")
        Image.fromarray(pixels).save(IMG / f"{name}.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
