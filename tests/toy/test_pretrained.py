"""The committed weights of the toy backbone: small, complete, and good features for drawn classes."""

import safetensors
import torch

from wsss_lib.data.augmentation import normalise
from wsss_lib.learning.architectures import TOY_WEIGHTS
from wsss_lib.learning.backbones import backbone
from wsss_lib.toy.auxiliary import draw_auxiliary

UNSEEN = 20_000  # far behind the photos that the backbone was trained on


def test_the_file_is_small_and_says_how_it_was_made():
    assert TOY_WEIGHTS.stat().st_size < 1.5e6
    with safetensors.safe_open(TOY_WEIGHTS, "pt") as file:
        facts = file.metadata()
        assert {file.get_tensor(name).dtype for name in file.keys()} <= {torch.float32, torch.int64}
    assert facts["command"].startswith("python data_scripts/pretrain_toy.py")
    assert {"seed", "versions"} <= set(facts)
    assert float(facts["accuracy"]) > 0.93


def nearest_class_accuracy(weights) -> float:
    """Share of unseen photos whose pooled feature is nearest to the mean feature of its class."""
    torch.manual_seed(0)
    net = backbone("toy", weights=weights, output_stride=8).eval()
    photos = [draw_auxiliary(UNSEEN + index) for index in range(400)]
    label_N = torch.tensor([photo.label for photo in photos])
    image_NCHW = torch.stack([torch.from_numpy(photo.image).permute(2, 0, 1) for photo in photos])
    with torch.inference_mode():
        feature_NC = torch.cat(
            [net(normalise(part)).mean((2, 3)) for part in image_NCHW.split(100)]
        )
    known, asked = slice(0, 300), slice(300, None)
    mean_KC = torch.stack([feature_NC[known][label_N[known] == k].mean(0) for k in range(24)])
    found = torch.cdist(feature_NC[asked], mean_KC).argmin(1)
    return (found == label_N[asked]).float().mean().item()


def test_the_features_separate_classes_without_any_training():
    assert nearest_class_accuracy("default") > 0.6  # chance is 0.04
    assert nearest_class_accuracy(None) < 0.3
