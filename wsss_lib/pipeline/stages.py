"""The stages of a run, from tags to masks: each reads files, calls one method, and writes files.

A stage gets a `Work` and returns what it measured. It may be killed at any moment and called again:
it makes only what is missing. No stage but `make_supervised` sees a true mask.
"""

from collections.abc import Callable
from functools import partial

import torch
from accelerate import PartialState
from torch import Tensor, nn

from wsss_lib import toy
from wsss_lib.data.batches import same_size_batches
from wsss_lib.data.files import atomic
from wsss_lib.data.layout import write_mask
from wsss_lib.data.photos import MaskedPhotos, read_mask
from wsss_lib.learning.backbones import Backbone, backbone, fold_norms
from wsss_lib.learning.metrics import mean_average_precision
from wsss_lib.learning.storage import load_state
from wsss_lib.methods.advcam import advcam
from wsss_lib.methods.amn import AMN, amn_maps, label_probability, per_pixel_loss
from wsss_lib.methods.cam import Classifier, cam, classification_loss
from wsss_lib.methods.crf import refine
from wsss_lib.methods.deeplab import DeepLabV2, segment, segmentation_loss
from wsss_lib.methods.seeds import pseudo_mask, seed
from wsss_lib.pipeline.evaluation import with_truth
from wsss_lib.pipeline.settings import AmnStage, ClassifierStage, Data, SegmenterStage
from wsss_lib.pipeline.work import Work, is_mask, share


def draw_data(data: Data, progress: bool) -> None:
    """Draws the embedded dataset, if the recipe asks for it and it is not there."""
    if data.draw_seed is not None and PartialState().is_main_process:
        train, val, test = data.draw_photos
        toy.write(
            data.root,
            seed=data.draw_seed,
            train=train,
            val=val,
            test=test,
            size=data.draw_size,
            progress=progress,
        )
    PartialState().wait_for_everyone()


def make_classifier(work: Work) -> dict:
    """Trains the classifier on tags and measures its mean average precision on ``val``."""
    stage, photos = work.recipe.classifier, work.photos("train").tagged()
    torch.manual_seed(work.recipe.seed)
    model = Classifier(pretrained(work, stage), photos.num_classes)
    model = work.train("classifier", model, classification_loss, photos, stage)
    return {"val_map": validate_classifier(work, model), "untagged": photos.untagged}


def make_cam(work: Work) -> dict:
    """Class activation maps of every tagged training photo."""
    stage, photos = work.recipe.cam, work.photos("train").tagged()
    model = learned_classifier(work, photos.num_classes)

    def maps(image_BCHW: Tensor, tag_BK: Tensor, indices: list[int]) -> Tensor:
        return cam(model, image_BCHW, tag_BK, stage.scales)

    work.write_maps("cam", photos, same_size_batches(photos, stage.batch_size), maps)
    return {}


def make_advcam(work: Work) -> dict:
    """AdvCAM of every tagged training photo."""
    stage, photos = work.recipe.advcam, work.photos("train").tagged()
    model = fold_norms(learned_classifier(work, photos.num_classes))
    half = stage.precision == "bf16"

    def maps(image_BCHW: Tensor, tag_BK: Tensor, indices: list[int]) -> Tensor:
        with torch.autocast(work.device.type, torch.bfloat16, enabled=half):
            return advcam(model, image_BCHW, tag_BK, stage.scales, stage)

    pairs = photos.tags_NK.sum(dim=1).tolist()
    work.write_maps("advcam", photos, same_size_batches(photos, stage.batch_size, pairs), maps)
    return {}


def make_seeds(work: Work) -> dict:
    """Confident labels from the maps of the recipe's source."""
    stage, photos = work.recipe.seeds, work.photos("train").tagged()
    foreground, background = getattr(stage, stage.source)
    method = partial(
        seed,
        foreground_threshold=foreground,
        background_threshold=background,
        crf=work.recipe.crf,
    )
    work.write_masks(f"seeds from {stage.source}", photos, stage.source, work.run.seeds, method)
    return {"source": stage.source}


def make_amn(work: Work) -> dict:
    """Trains AMN on the seeds and makes its maps of every tagged training photo."""
    torch.manual_seed(work.recipe.seed)
    learn_amn(work, new_amn(work, work.photos("train").num_classes))
    return {}


def new_amn(work: Work, num_classes: int) -> AMN:
    """AMN before its training."""
    stage = work.recipe.amn
    net = pretrained(work, stage)
    if stage.start == "classifier":
        net.load_state_dict(learned_classifier(work, num_classes).backbone.state_dict())
    return AMN(
        net,
        num_classes,
        rates=stage.rates,
        condition_stage=stage.condition_stage,
        dropout=stage.dropout,
    )


def learn_amn(work: Work, model: AMN, told: Callable[[Tensor], Tensor] | None = None) -> None:
    """Trains a network on the seeds and writes its labels and maps.

    Args:
        work: the run.
        model: see `new_amn`.
        told: for experiments, what the network is told, given ``tag_BK``; ``None``: the tags.
    """
    stage, photos = work.recipe.amn, work.photos("train").tagged()
    told = told or nn.Identity()

    def loss(model: nn.Module, batch: dict) -> Tensor:
        logit_BLhw = model(batch["image"], told(batch["tags"]))
        return per_pixel_loss(
            logit_BLhw, batch["mask"], smoothing=stage.smoothing, balanced=stage.balanced
        )

    model = work.train("amn", model, loss, photos.with_masks(work.run.seeds), stage)

    def maps(image_BCHW: Tensor, tag_BK: Tensor, indices: list[int]) -> Tensor:
        probability_BLhw = label_probability(model, image_BCHW, told(tag_BK), stage.scales)
        ids = [photos.ids[i] for i in indices]
        for id, label_hw in zip(ids, probability_BLhw.argmax(dim=1).cpu()):
            with atomic(work.run.amn_labels / f"{id}.png") as aside:
                write_mask(aside, label_hw)
        gate_BHW = None
        if stage.gate:
            gate_BHW = torch.stack([read_mask(work.run.seeds / f"{id}.png") for id in ids])
            gate_BHW = gate_BHW.to(work.device)
        return amn_maps(probability_BLhw, tag_BK, gate_BHW)

    work.write_maps("amn", photos, same_size_batches(photos, stage.batch_size), maps)


def make_pseudo_masks(work: Work) -> dict:
    """Masks of every tagged training photo from each of the recipe's sources."""
    photos = work.photos("train").tagged()
    for source in work.recipe.pseudo_masks.sources:
        threshold = getattr(work.recipe.thresholds, source)
        method = partial(pseudo_mask, threshold=threshold, crf=work.recipe.crf)
        folder = work.run.pseudo_masks(source)
        work.write_masks(f"pseudo-masks from {source}", photos, source, folder, method)
    return {}


def make_segmenter(work: Work) -> dict:
    """Trains the segmentation network on pseudo-masks and predicts the ``val`` photos."""
    source = work.recipe.segmenter.source
    photos = work.photos("train").tagged().with_masks(work.run.pseudo_masks(source))
    learn_masks(work, "segmenter", photos)
    return {"source": source}


def make_supervised(work: Work) -> dict:
    """The ceiling: the same network, trained on the true masks."""
    learn_masks(work, "supervised", with_truth(work.photos("train")))
    return {}


def learn_masks(work: Work, name: str, photos: MaskedPhotos) -> None:
    """Trains DeepLabV2 on photos with masks and writes its predictions for ``val``."""
    stage = work.recipe.segmenter
    torch.manual_seed(work.recipe.seed)
    model = DeepLabV2(pretrained(work, stage), photos.num_classes, stage.rates)
    loss = partial(segmentation_loss, balanced=stage.balanced, scales=stage.train_scales)
    model = work.train(name, model, loss, photos, stage)
    val, folder = work.photos("val"), work.run.predictions / name
    for indices in work.bar(share(same_size_batches(val, stage.batch_size)), f"{name} on val"):
        files = [folder / f"{val.ids[i]}.png" for i in indices]
        if all(is_mask(file) for file in files):
            continue
        image_BCHW = work.images(val, indices)
        probability_BLHW = segment(model, image_BCHW, stage.scales, mirrored=stage.mirrored)
        for i, file, probability_LHW in zip(indices, files, probability_BLHW):
            if stage.refine:
                image_HW3 = val.image(i).permute(1, 2, 0).to(work.device)
                probability_LHW = refine(image_HW3, probability_LHW, stage.test_crf)
            with atomic(file) as aside:
                write_mask(aside, probability_LHW.argmax(dim=0).cpu())
    PartialState().wait_for_everyone()


def pretrained(work: Work, stage: ClassifierStage | AmnStage | SegmenterStage) -> Backbone:
    """The backbone that a stage starts from."""
    return backbone(
        getattr(stage, "backbone", None) or work.recipe.backbone,
        weights=getattr(stage, "weights", None) or work.recipe.weights,
        output_stride=stage.output_stride,
        dilated=stage.dilated,
        frozen_stages=stage.frozen_stages,
        frozen_norm=stage.frozen_norm,
    )


def learned_classifier(work: Work, num_classes: int) -> Classifier:
    """The trained classifier, at the output stride of the maps."""
    grid = work.recipe.cam
    net = backbone(work.recipe.backbone, output_stride=grid.output_stride, dilated=grid.dilated)
    model = Classifier(net, num_classes)
    load_state(work.run.checkpoints / "classifier.safetensors", model)
    return model.to(work.device, memory_format=torch.channels_last).eval()


@torch.no_grad()
def validate_classifier(work: Work, model: Classifier) -> float:
    """Mean average precision on the ``val`` split, each photo at its own size."""
    photos = work.photos("val")
    score_NK = torch.zeros(photos.tags_NK.shape)
    batches = same_size_batches(photos, work.recipe.cam.batch_size)
    for indices in work.bar(batches, "classifier on val"):
        score_NK[indices] = model(work.images(photos, indices)).float().cpu()
    return mean_average_precision(score_NK, photos.tags_NK)
