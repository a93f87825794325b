import torch

from styler.features import load_extractor
from styler.training.taps import excite


def test_a_picture_made_for_a_channel_excites_it() -> None:
    extractor = load_extractor("vgg-lite", pooling="average")
    picture = excite(extractor, "relu2_1", 3)
    assert picture.shape == (1, 3, 144, 144)
    noise = torch.rand(1, 3, 144, 144, generator=torch.Generator().manual_seed(1))
    made, chance = (
        float(extractor(image, ["relu2_1"])["relu2_1"][:, 3].mean()) for image in (picture, noise)
    )
    assert made > 3 * chance
