import pytest

from styler.errors import BackboneError, ImageError
from styler.features.registry import IMAGENET, BackboneSpec, get_backbone
from styler.features.summary import LayerRow, summarise, totals


def rows_of(name: str, side: int = 224) -> dict[str, LayerRow]:
    return {row.name: row for row in summarise(get_backbone(name), (side, side))}


def test_vgg16_matches_the_published_numbers() -> None:
    rows = rows_of("vgg16")
    assert rows["conv1_1"].weights == 1_728
    assert rows["conv1_1"].parameters == 1_792
    assert rows["conv5_3"].weights == 2_359_296
    assert rows["fc6"].weights == 25_088 * 4_096
    assert totals(rows.values()).parameters == 138_357_544
    assert totals(r for r in rows.values() if r.kind == "conv").parameters == 14_714_688


def test_vgg19_matches_the_published_numbers() -> None:
    rows = rows_of("vgg19")
    assert totals(rows.values()).parameters == 143_667_240
    assert totals(r for r in rows.values() if r.kind == "conv").parameters == 20_024_384


def test_vgg16_share_of_the_forward_pass_kept_by_a_cut() -> None:
    rows = list(rows_of("vgg16").values())
    convolutions = totals(r for r in rows if r.kind == "conv").macs
    names = [r.name for r in rows]
    for cut, share in (("conv2_2", 0.30), ("conv3_3", 0.60), ("conv4_3", 0.90)):
        kept = totals(rows[: names.index(cut) + 1]).macs
        assert kept / convolutions == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("network", "layer", "field", "stride", "window"),
    [
        ("vgg16", "conv1_2", 5, 1, (-2, 2)),
        ("vgg16", "conv2_2", 14, 2, (-6, 7)),
        ("vgg16", "conv3_3", 40, 4, (-18, 21)),
        ("vgg16", "conv4_3", 92, 8, (-42, 49)),
        ("vgg16", "conv5_3", 196, 16, (-90, 105)),
        ("vgg19", "conv3_4", 48, 4, (-22, 25)),
        ("vgg19", "conv4_4", 116, 8, (-54, 61)),
        ("vgg19", "relu5_4", 252, 16, (-118, 133)),
    ],
)
def test_receptive_fields(
    network: str, layer: str, field: int, stride: int, window: tuple[int, int]
) -> None:
    row = rows_of(network)[layer]
    assert (row.receptive_field, row.stride, row.window) == (field, stride, window)


def test_shapes_and_bytes_of_an_odd_size() -> None:
    rows = {row.name: row for row in summarise(get_backbone("vgg-lite"), (67, 35))}
    assert rows["relu1_2"].shape == (24, 67, 35)
    assert rows["pool1"].shape == (24, 33, 17)
    assert rows["pool5"].shape == (384, 2, 1)
    assert rows["pool1"].bytes == 4 * 24 * 33 * 17
    assert rows["conv2_1"].macs == 24 * 64 * 9 * 33 * 17
    assert rows["relu2_1"].parameters == rows["pool1"].macs == 0
    assert "fc6" not in rows


def test_the_classifier_sees_the_whole_image() -> None:
    row = rows_of("vgg19")["fc8"]
    assert row.shape == (1000, 1, 1)
    assert (row.receptive_field, row.stride, row.window) == (None, None, None)


def test_too_small_a_size_is_refused() -> None:
    with pytest.raises(ImageError, match="64×31 pixels is too small for pool5") as caught:
        summarise(get_backbone("vgg19"), (31, 64))
    assert "32 pixels" in str(caught.value.hint)
    assert summarise(get_backbone("vgg19"), (32, 32))[36].shape == (512, 1, 1)


def test_unknown_architectures_are_refused() -> None:
    spec = BackboneSpec(
        name="resnet", description="", preprocessing=IMAGENET, architecture="torchvision"
    )
    with pytest.raises(BackboneError, match="torchvision has no network 'resnet'"):
        summarise(spec, (224, 224))
