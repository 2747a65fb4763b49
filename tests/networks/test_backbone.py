import pytest
import timm
import torch

from recface.errors import RecfaceError
from recface.networks import split_backbone

BACKBONES = [
    ("resnet10t", "layer2"),
    ("resnet50", 1),
    ("mobilenetv3_small_050", "blocks.1"),
    ("efficientnet_b0", "blocks.2"),
    ("convnext_atto", "stages.1"),
    ("regnetx_002", "s2"),
]


@pytest.mark.parametrize(("name", "stage"), BACKBONES)
def test_parts_together_are_timms_network(name, stage):
    torch.manual_seed(3)
    network = timm.create_model(name, features_only=True).eval()
    torch.manual_seed(3)
    parts = split_backbone(name, stage)
    torch.manual_seed(3)
    late = parts.make_late().eval()
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = network(image)
        shared = parts.trunk.eval()(image)
        result = late(shared)
    stages = network.feature_info.module_name()
    index = stage if isinstance(stage, int) else stages.index(stage)
    torch.testing.assert_close(shared, features[index])
    torch.testing.assert_close(result, features[-1])
    assert shared.shape[1] == parts.trunk_channels
    assert result.shape[1] == parts.channels


def test_copies_have_weights_of_their_own_which_the_seed_decides():
    torch.manual_seed(0)
    parts = split_backbone("resnet10t", "layer3")
    first, second = parts.make_late(), parts.make_late()
    torch.manual_seed(0)
    again = split_backbone("resnet10t", "layer3").make_late()
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
    assert not torch.equal(first[0][0].conv1.weight, second[0][0].conv1.weight)
    assert torch.equal(first[0][0].conv1.weight, again[0][0].conv1.weight)


def test_every_parameter_is_in_exactly_one_part():
    network = timm.create_model("resnet10t", features_only=True)
    parts = split_backbone("resnet10t", "layer2")
    count = sum(p.numel() for part in (parts.trunk, parts.make_late()) for p in part.parameters())
    assert count == sum(p.numel() for p in network.parameters())


def test_ends_earlier():
    parts = split_backbone("resnet10t", "layer2", end="layer3")
    late = parts.make_late()
    assert parts.channels == 256
    assert late(parts.trunk(torch.rand(2, 3, 64, 64))).shape == (2, 256, 4, 4)


def test_parts_start_from_a_local_checkpoint(tmp_path):
    torch.manual_seed(1)
    classifier = timm.create_model("resnet10t")
    torch.save(classifier.state_dict(), tmp_path / "weights.pth")
    parts = split_backbone("resnet10t", "layer3", weights=tmp_path / "weights.pth")
    assert torch.equal(parts.trunk[0][0].weight, classifier.conv1[0].weight)
    for _ in range(2):
        assert torch.equal(parts.make_late()[0][0].conv1.weight, classifier.layer4[0].conv1.weight)


@pytest.mark.parametrize("other", ["mobilenetv3_small_050", "resnet18"])
def test_checkpoint_of_another_model_is_refused(tmp_path, other):
    torch.save(timm.create_model(other).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(RecfaceError, match="weights.pth"):
        split_backbone("resnet10t", "layer2", weights=tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet999", "stage": 0}, "'resnet999' is not a model of timm"),
        ({"name": "vit_tiny_patch16_224", "stage": 0}, "choose one of timm's convolutional chains"),
        ({"name": "resnet10t", "stage": "layer4"}, "choose one of act1, layer1, layer2, layer3$"),
        ({"name": "resnet10t", "stage": 7}, "shared up to stage 7"),
        ({"name": "resnet10t", "stage": "layer3", "end": "layer3"}, "choose one of act1, layer1, layer2$"),
        ({"name": "resnet10t", "stage": "layer2", "end": "layer9"}, "end at stage 'layer9'"),
        ({"name": "resnet10t", "stage": "layer2", "weights": "missing.pth"}, "no file 'missing.pth'"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message):
    with pytest.raises(RecfaceError, match=message) as error:
        split_backbone(**arguments)
    assert "\n" not in str(error.value)
