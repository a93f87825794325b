"""Train a feed-forward style network, with styler's losses in an ordinary PyTorch loop.

The network learns to give any photograph one style in a single pass (Johnson, Alahi and Fei-Fei,
arXiv 1603.08155). Nothing here but the losses has to come from styler: `extractor` may be any
function that turns images into a dictionary of features by layer.

    python examples/train_with_style_loss.py --steps 600 --output stylised.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from styler.features import load_extractor
from styler.images import read_picture, resize, write_picture
from styler.losses import ContentLoss, GramStyleLoss, LayerwiseLoss, TotalVariationLoss

SAMPLES = Path(__file__).parents[1] / "samples"
STYLE_LAYERS = {"relu1_1": 0.25, "relu2_1": 0.25, "relu3_1": 0.25, "relu4_1": 0.25}
CONTENT_LAYERS = {"relu3_1": 1.0}


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(block(channels, channels), block(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        change: Tensor = self.layers(features)
        return features + change


def block(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, padding_mode="reflect")
    return nn.Sequential(convolution, nn.InstanceNorm2d(outputs, affine=True), nn.ReLU())


def transformation_network() -> nn.Module:
    return nn.Sequential(
        block(3, 16, size=9),
        block(16, 32, stride=2),
        block(32, 48, stride=2),
        Residual(48),
        Residual(48),
        nn.Upsample(scale_factor=2),
        block(48, 32),
        nn.Upsample(scale_factor=2),
        block(32, 16),
        nn.Conv2d(16, 3, 9, padding=4, padding_mode="reflect"),
        nn.Sigmoid(),
    )


def load(path: Path, side: int) -> Tensor:
    """The picture with its shorter side resized to `side` pixels."""
    pixels = read_picture(path).pixels
    height, width = pixels.shape[2:]
    scale = side / min(height, width)
    return resize(pixels, (round(scale * height), round(scale * width)))


def random_crops(pictures: list[Tensor], count: int, side: int) -> Tensor:
    crops = []
    for _ in range(count):
        picture = pictures[int(torch.randint(len(pictures), ()))]
        top = int(torch.randint(picture.shape[2] - side + 1, ()))
        left = int(torch.randint(picture.shape[3] - side + 1, ()))
        crops.append(picture[..., top : top + side, left : left + side])
    return torch.cat(crops)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contents", type=Path, default=SAMPLES / "contents", help="photographs")
    parser.add_argument("--style", type=Path, default=SAMPLES / "styles" / "woodcut_waves.jpg")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=128, help="side of the crops, in pixels")
    parser.add_argument("--style-weight", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="where to write the first photograph, styled")
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    photographs = sorted(options.contents.glob("*.jpg"))
    if not photographs:
        parser.error(f"no .jpg files in {options.contents}")
    contents = [load(path, 2 * options.size) for path in photographs]

    extractor = load_extractor("vgg-lite")
    style_loss = LayerwiseLoss(GramStyleLoss("relative"), STYLE_LAYERS)
    content_loss = LayerwiseLoss(ContentLoss("variance"), CONTENT_LAYERS)
    smoothness = TotalVariationLoss("l2", "mean")

    # The style never changes: its representation is taken once.
    with torch.no_grad():
        style_features = extractor(load(options.style, 2 * options.size), list(STYLE_LAYERS))
        style = style_loss.prepare(style_loss.represent(style_features))

    network = transformation_network()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    layers = list({**STYLE_LAYERS, **CONTENT_LAYERS})
    for step in range(1, options.steps + 1):
        photos = random_crops(contents, options.batch, options.size)
        with torch.no_grad():
            content = extractor(photos, list(CONTENT_LAYERS))
        styled = network(photos)
        features = extractor(styled, layers)
        content_term = content_loss(features, content)
        style_term = style_loss.compare(style_loss.represent(features), style)
        loss = content_term + options.style_weight * style_term + 0.1 * smoothness(styled)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (1, options.steps) or step % 25 == 0:
            parts = f"content {content_term.item():.3f}, style {style_term.item():.3f}"
            print(f"step {step}/{options.steps}: loss {loss.item():.3f} ({parts})", flush=True)

    if options.output is not None:
        with torch.no_grad():
            write_picture(options.output, network(contents[0]), overwrite=True)
        print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
