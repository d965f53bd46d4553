"""Short trainings that two processes must end as one does; `test_two_processes` starts this with torchrun.

Everything is in float64, so that what is left between the two is an error, and not rounding.
"""

import contextlib
import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from torch.utils.data import Dataset

from wsss_lib.learning.backbones import backbone
from wsss_lib.learning.storage import save_state
from wsss_lib.learning.training import Training, fit
from wsss_lib.methods.amn import AMN, per_pixel_loss
from wsss_lib.methods.cam import Classifier, classification_loss
from wsss_lib.methods.deeplab import DeepLabV2, segmentation_loss

CLASSES = 3
STEPS = 6
KILLED_AT = 4  # calls of the loss; the last checkpoint is at 2


class Uneven(Dataset):
    """Masks that are all background, all one class, all void, or a few pixels of a class in the background."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        image = torch.randn(3, 32, 32, generator=generator, dtype=torch.float64)
        label = 1 + index % CLASSES
        mask = torch.full((32, 32), [0, label, 255, 0][index % 4], dtype=torch.uint8)
        if index % 4 == 3:
            mask[: 4 + index, :9] = label
        tags = torch.nn.functional.one_hot(torch.tensor(label - 1), CLASSES).double()
        return {"image": image, "mask": mask, "tags": tags}


def features(frozen_norm=True):
    return backbone("toy", output_stride=4, dilated=True, frozen_norm=frozen_norm)


def amn(frozen_norm=True):
    return AMN(features(frozen_norm), CLASSES, rates=(1, 2), dropout=0.0)


def per_pixel(balanced):
    def loss(model, batch):
        logits = model(batch["image"], batch["tags"])
        return per_pixel_loss(logits, batch["mask"], balanced=balanced)

    return loss


def several_scales(model, batch):
    assert not getattr(
        model, "broadcast_buffers", False
    )  # several forward passes before one backward
    return segmentation_loss(model, batch, scales=(0.5,))


# what learns, its loss, and in how many parts a batch goes through it
CASES = {
    "classifier": (lambda: Classifier(features(), CLASSES), classification_loss, 1),
    "balanced": (amn, per_pixel(balanced=True), 1),
    "unbalanced": (amn, per_pixel(balanced=False), 1),
    "scales": (lambda: DeepLabV2(features(), CLASSES, (1, 2)), several_scales, 1),
    "parts": (amn, per_pixel(balanced=True), 2),
    "norms that learn": (lambda: amn(frozen_norm=False), per_pixel(balanced=True), 1),
    "norms that learn, scales": (
        lambda: DeepLabV2(features(frozen_norm=False), CLASSES, (1, 2)),
        several_scales,
        1,
    ),
    "norms that learn, in parts": (lambda: amn(frozen_norm=False), per_pixel(balanced=True), 2),
}


def trained(case, loss=None, folder=None):
    make, own_loss, parts = CASES[case]
    batch_size = 4 * parts  # so that a part has two photos in each of two processes
    settings = Training(
        epochs=STEPS * batch_size / len(Uneven()),
        batch_size=batch_size,
        backbone_lr=0.1,
        head_lr=0.5,
        accumulate=parts,
        checkpoint_every=2,
    )
    torch.manual_seed(0)
    model = make().double()
    return fit(model, loss or own_loss, Uneven(), settings, seed=3, folder=folder, progress=False)


class Watched:
    """The loss of a case, killed at one of its calls; notes whether each exchanges gradients."""

    def __init__(self, case, killed_at=None):
        self.loss, self.killed_at, self.exchanges = CASES[case][1], killed_at, []

    def __call__(self, model, batch):
        self.exchanges.append(getattr(model, "require_backward_grad_sync", None))
        if len(self.exchanges) == self.killed_at:
            raise KeyboardInterrupt
        return self.loss(model, batch)


def resumed(case, folder):
    """Kills a training and goes on with it; returns its network, and how many steps were left."""
    with contextlib.suppress(KeyboardInterrupt):
        trained(case, Watched(case, KILLED_AT), folder)
    loss = Watched(case)
    return trained(case, loss, folder), len(loss.exchanges)


def main(folder: Path) -> None:
    state, seen, parts = PartialState(cpu=True), {}, Watched("parts")
    models = {case: trained(case) for case in CASES}
    trained("parts", parts)
    seen["exchanges"] = parts.exchanges
    models["goes on"], seen["goes on"] = resumed("balanced", folder)
    # each process has a disk of its own, so that only the first one finds the checkpoint
    disk = folder / f"disk{state.process_index}"
    models["begins anew"], seen["begins anew"] = resumed("balanced", disk)
    if state.is_main_process:
        for name, model in models.items():
            save_state(folder / f"{name}.safetensors", model)
        (folder / "seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
