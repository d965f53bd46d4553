"""Pretrain the backbone of the embedded dataset on other drawn classes, and write its weights.

    python data_scripts/pretrain_toy.py

draws 5,000 photos of 24 classes that do not occur in the embedded dataset, trains the toy network on them for 12 epochs
(a few minutes on one CPU core) and writes wsss_lib/toy/backbone.safetensors. The papers start from ImageNet;
this is our ImageNet.
"""

import platform
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm.auto import tqdm

import wsss_lib
from wsss_lib.data.augmentation import Augmentation, normalise, paired_augmentation
from wsss_lib.learning.architectures import TOY_WEIGHTS
from wsss_lib.learning.backbones import backbone
from wsss_lib.learning.storage import save_state
from wsss_lib.learning.training import Training, fit
from wsss_lib.toy.auxiliary import CLASSES, AuxiliaryPhoto, draw_auxiliary

AUGMENTATION = Augmentation(flip=True, shift=8, jitter=(0.15, 0.15, 0.15), noise=0.3)
LABEL_SMOOTHING = 0.05


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """Pretrain the backbone of the embedded dataset on other drawn classes."""

    out: Path = TOY_WEIGHTS
    """Where the weights go (safetensors)."""
    seed: int = 0
    """Of the network's first weights and of the training; the photos are always the same."""
    photos: int = 5000
    """Photos to train on."""
    held_out: int = 400
    """Further photos, on which the accuracy is measured."""
    epochs: float = 12
    """Passes over the photos."""
    batch_size: int = 64
    """Photos a step."""
    lr: float = 4e-3
    """Peak learning rate of AdamW; up for a fifth of the steps, then down along a cosine."""
    weight_decay: float = 0.05
    """Of AdamW."""


class AuxiliaryPhotos(Dataset):
    """Drawn photos in memory, each with its class as `label`; the same transform as for photos with tags."""

    def __init__(self, photos: list[AuxiliaryPhoto], transform=None):
        self.images = torch.stack(
            [torch.from_numpy(photo.image).permute(2, 0, 1) for photo in photos]
        )
        self.labels = torch.tensor([photo.label for photo in photos])
        self.views = [photo.view for photo in photos]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item = {"image": self.images[index]}
        item = self.transform(item) if self.transform else item
        return {**item, "label": self.labels[index]}


class Network(nn.Module):
    """The backbone, an average over positions, and a linear layer: one logit for each auxiliary class."""

    def __init__(self):
        super().__init__()
        self.backbone = backbone("toy", output_stride=8)
        self.head = nn.Linear(self.backbone.channels[-1], CLASSES)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.head(self.backbone(image_BCHW).mean(dim=(2, 3)))


def smoothed_cross_entropy(network: nn.Module, batch: dict) -> Tensor:
    """Cross entropy with label smoothing (Szegedy et al., CVPR 2016)."""
    return nn.functional.cross_entropy(
        network(batch["image"]), batch["label"], label_smoothing=LABEL_SMOOTHING
    )


@torch.inference_mode()
def accuracy(network: nn.Module, photos: AuxiliaryPhotos) -> dict[str, float]:
    """Share of photos whose class has the highest logit: of all, and by what they show of the object."""
    device = next(network.parameters()).device
    right = torch.cat([
        network(normalise(image).to(device)).argmax(1).cpu() == label
        for image, label in zip(photos.images.split(100), photos.labels.split(100), strict=True)
    ])  # fmt: skip
    groups = defaultdict(list)
    for view, hit in zip(photos.views, right.tolist(), strict=True):
        groups["all"].append(hit)
        groups[view].append(hit)
    return {name: sum(hits) / len(hits) for name, hits in groups.items()}


def main(options: Pretraining) -> None:
    """Draw, train, measure, write."""
    indices = tqdm(range(options.photos + options.held_out), desc="drawing", unit="photo")
    photos = [draw_auxiliary(index) for index in indices]
    training = AuxiliaryPhotos(photos[: options.photos], paired_augmentation(AUGMENTATION))
    torch.manual_seed(options.seed)
    settings = Training(
        epochs=options.epochs,
        batch_size=options.batch_size,
        backbone_lr=options.lr,
        head_lr=options.lr,
        weight_decay=options.weight_decay,
        optimizer="adamw",
        schedule="warmup_cosine",
    )
    network = fit(
        Network(),
        smoothed_cross_entropy,
        training,
        settings,
        seed=options.seed,
        title="pretraining",
    )
    shares = accuracy(network, AuxiliaryPhotos(photos[options.photos :]))
    print(
        "held-out accuracy: " + ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
    )
    names = ("seed", "photos", "epochs", "batch_size", "lr", "weight_decay")
    flags = [f"--{name.replace('_', '-')} {getattr(options, name):g}" for name in names]
    save_state(
        options.out,
        network.backbone,
        command=" ".join(["python data_scripts/pretrain_toy.py", *flags]),
        seed=str(options.seed),
        accuracy=f"{shares['all']:.4f}",
        versions=f"wsss_lib {wsss_lib.__version__}, torch {torch.__version__}, python {platform.python_version()}",
    )
    print(f"wrote {options.out} ({options.out.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main(tyro.cli(Pretraining, description=__doc__))
