"""AdvCAM: climb the score of a class by changing the photo, and sum the maps seen on the way.

Lee, Kim and Yoon, "Anti-adversarially manipulated attributions for weakly and semi-supervised
semantic segmentation", CVPR 2021 (TPAMI 2022). An adversarial attack moves a photo *down* the score
of its class. Climbing moves it *up*: regions that were too weak to count come to take part in the
score, and the map grows from the most distinctive part to the whole object.

Each pair of a photo and one of its classes is climbed on its own; pairs share nothing but the time on the device. The network
is frozen: the only gradient is the one with respect to the photo.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from wsss_lib.data.augmentation import mirrored_views, scaled
from wsss_lib.data.limits import refuse_outside
from wsss_lib.methods.cam import Classifier, at_least_float32, map_size, max_normalised, resize


@dataclass(frozen=True, kw_only=True)
class Climbing:
    """How a photo is climbed. The defaults are those of the official code on PASCAL VOC 2012.

    The objective of a pair, with scores y and response R (a map of logits) of the current photo, is

        sum over views of  y_c - (sum over other classes k of y_k) - lambda * mean(M * |R - R_0|),

    where R_0 is the response before the first step and M = 1[R > tau max R] (Eqs. 5 to 8 of the paper).
    Fields below ``mask_threshold`` are the places where the paper and its code differ.
    """

    steps: int = 27
    """T, the number of maps that are summed. (Code: 27.)"""
    step_size: float = 0.08
    """xi, in units of the normalised photo; 0.08 is 4.6 grey levels. Negative: an attack. (Code: 0.08.)"""
    regularization: float = 7.0
    """lambda, in the unit below. (Code: 7.)"""
    regularization_unit: Literal["mean", "gradcam", "sum"] = "gradcam"
    """mean: the penalty is a mean over cells, as the scores are, so that 1 just holds the masked cells back. gradcam (code):
    a sum over cells of the Grad-CAM, which is smaller than the CAM by the number of positive weights of the class. sum
    (paper): a sum over cells of the CAM. `regularization_in_mean_units` converts."""
    mask_threshold: float = 0.5
    """tau, a fraction of the maximum. (Code: 0.5.)"""
    score: Literal["relu", "logit"] = "relu"
    """The score is the mean of the positive part of the logit map (code), or of all of it (paper)."""
    suppress: Literal["all", "absent", "none"] = "all"
    """Which other classes are pushed down: all (code), or only those that the photo is not tagged with."""
    view_weights: Literal["positive", "equal"] = "positive"
    """A photo and its mirror image weigh by their number of positive cells (the Grad-CAM of the code) or the same (CAM)."""
    joint_views: bool = True
    """A photo and its mirror image share step, clamp and mask (code)."""
    normalised_step: bool = True
    """The gradient is divided by its largest absolute value (code), so that every step moves as far."""
    clamp: Literal["iterate", "photo", "none"] = "iterate"
    """Values stay within the range of the photo before the step (code), of the first photo, or are free (paper)."""
    normalised_penalty: bool = False
    """The penalty compares maps divided by their maximum (paper) rather than as they are (code)."""
    sum_last: bool = False
    """Also add the map after the last step: T + 1 maps (paper)."""
    normalise_each: bool = False
    """Divide each map by its maximum before adding it, so that later, stronger maps weigh no more."""
    half_steps_below_one: bool = True
    """Scales below 1 take half the steps (code: 13 of 27)."""
    compensate_half_steps: bool = False
    """Double the maps of such scales. Meant by the code, but undone there by a constant."""

    def __post_init__(self) -> None:
        refuse_outside(self, "steps", least=1, whole=True)
        refuse_outside(self, "step_size")
        refuse_outside(self, "regularization", least=0)
        refuse_outside(self, "mask_threshold", least=0, most=1)

    def steps_at(self, scale: float) -> int:
        """The number of steps at ``scale``, as the official code counts them."""
        if scale >= 1 or not self.half_steps_below_one or self.steps < 6:
            return self.steps
        return self.steps // 2 if self.steps > 10 else 5


class Step(NamedTuple):
    """What was seen at one step; everything is detached."""

    image_PVCHW: Tensor
    score_PK: Tensor
    map_Phw: Tensor
    mask_Phw: Tensor


def advcam(
    classifier: Classifier,
    image_BCHW: Tensor,
    tag_BK: Tensor,
    scales: tuple[float, ...] = (1.0,),
    settings: Climbing = Climbing(),
    *,
    batch_pixels: int | None = None,
) -> Tensor:
    """AdvCAM of the tagged classes; takes and returns what `wsss_lib.methods.cam.cam` does.

    Args:
        classifier: in evaluation mode.
        image_BCHW: normalised photos of one size.
        tag_BK: 1 where the photo has the class.
        scales: factors by which the photos are resized; the papers take (0.5, 1, 1.5, 2).
        settings: how to climb.
        batch_pixels: pixels that climb together at most, of all pairs and their mirror images at the scale at hand; at least
            one pair does, and with None all do. It changes memory and time, and not the maps.

    Returns:
        ``map_Phw`` in [0, 1], one for each pair, in the order of ``tag_BK.nonzero()``.
    """
    photo_P, class_P = tag_BK.nonzero(as_tuple=True)
    fused_Phw = 0.0
    for scale in scales:
        image_PCHW = scaled(image_BCHW, scale)[photo_P]
        pairs = pairs_together(image_PCHW, batch_pixels)
        parts = zip(image_PCHW.split(pairs), class_P.split(pairs), tag_BK[photo_P].split(pairs))
        steps = settings.steps_at(scale)
        map_Phw = torch.cat([climb(classifier, *part, settings, steps=steps) for part in parts])
        if settings.compensate_half_steps:
            map_Phw = map_Phw * settings.steps / steps
        fused_Phw = fused_Phw + resize(map_Phw, map_size(image_BCHW))
    return max_normalised(fused_Phw)


def pairs_together(image_PCHW: Tensor, batch_pixels: int | None) -> int:
    """How many pairs may climb together, each with two views, within a budget of pixels: at least one."""
    pairs = len(image_PCHW)
    if batch_pixels is not None:
        pairs = batch_pixels // (2 * image_PCHW.shape[-2] * image_PCHW.shape[-1])
    return max(pairs, 1)


def climb(
    classifier: Classifier,
    image_PCHW: Tensor,
    class_P: Tensor,
    tag_PK: Tensor,
    settings: Climbing = Climbing(),
    *,
    steps: int | None = None,
    trace: list[Step] | None = None,
) -> Tensor:
    """Climbs each photo towards one class and returns the sum of its maps, ``map_Phw`` in logits.

    Args:
        classifier: in evaluation mode.
        image_PCHW: normalised photos.
        class_P: the class that each one climbs.
        tag_PK: 1 for the classes that the photo has.
        settings: how to climb.
        steps: instead of ``settings.steps``.
        trace: a list that gets a `Step` for each map of the sum.
    """
    steps = settings.steps if steps is None else steps
    view_PVCHW = mirrored_views(image_PCHW)
    if not settings.joint_views:  # each view is climbed as a photo of its own
        view_PVCHW = view_PVCHW.flatten(0, 1)[:, None]
        class_P, tag_PK = class_P.repeat_interleave(2), tag_PK.repeat_interleave(2, dim=0)
    with frozen(classifier):
        map_Phw = climb_views(classifier, view_PVCHW, class_P, tag_PK, settings, steps, trace)
    if not settings.joint_views:
        map_Phw = map_Phw[0::2] + map_Phw[1::2].flip(-1)
    return map_Phw


def climb_views(
    classifier: Classifier,
    view_PVCHW: Tensor,
    class_P: Tensor,
    tag_PK: Tensor,
    settings: Climbing,
    steps: int,
    trace: list[Step] | None,
) -> Tensor:
    """Climbs the views of each pair together; see `climb`."""
    sign_PK = score_signs(class_P, tag_PK, settings.suppress)
    photo_PVCHW, start_Phw, total_Phw = view_PVCHW, None, 0.0
    count = steps + settings.sum_last
    for t in range(1, count + 1):
        view_PVCHW = view_PVCHW.detach().requires_grad_(t < count)
        logit_PKhw = at_least_float32(classifier.logit_map(view_PVCHW.flatten(0, 1)))
        logit_PVKhw = logit_PKhw.unflatten(0, view_PVCHW.shape[:2])
        score_PVK = scores(logit_PVKhw, settings.score)
        map_Phw = attribution(logit_PVKhw, class_P, settings.view_weights)
        seen_Phw = map_Phw.detach()
        start_Phw = seen_Phw if start_Phw is None else start_Phw
        mask_Phw = discriminative_mask(seen_Phw, settings.mask_threshold)
        total_Phw = total_Phw + (max_normalised(seen_Phw) if settings.normalise_each else seen_Phw)
        if trace is not None:
            score_PK = score_PVK.detach().mean(dim=1)
            trace.append(Step(view_PVCHW.detach(), score_PK, seen_Phw, mask_Phw))
        if t == count:  # nobody looks at the photo behind the last map
            return total_Phw
        if t == 1:  # the same at every step
            lambda_P = regularization_in_mean_units(settings, classifier, class_P, map_Phw.shape)
        change_P = penalty(map_Phw, start_Phw, mask_Phw, settings.normalised_penalty)
        drive_PV = (sign_PK[:, None] * score_PVK).sum(dim=2)
        objective_P = (drive_PV - (lambda_P * change_P)[:, None]).sum(dim=1)
        (gradient_PVCHW,) = torch.autograd.grad(objective_P.sum(), view_PVCHW)
        view_PVCHW = stepped(view_PVCHW.detach(), gradient_PVCHW, photo_PVCHW, settings)


def attribution(logit_PVKhw: Tensor, class_P: Tensor, view_weights: str) -> Tensor:
    """The map of a pair: the mean of its views' positive logits of the class, mirrored back.

    The code takes the Grad-CAM of the summed positive logits, over photo and mirror image at once. Its channel weights are
    the class's own weights times the view's share of the positive cells, so it needs no backward pass: it is the CAM, each
    view weighted by that share.
    """
    pair_P = torch.arange(len(class_P), device=class_P.device)
    response_PVhw = logit_PVKhw[pair_P, :, class_P].relu()
    weight_PV11 = torch.full_like(response_PVhw[:, :, :1, :1], 1 / response_PVhw.shape[1])
    if view_weights == "positive":
        positive_PV11 = (response_PVhw > 0).sum(dim=(2, 3), keepdim=True).to(response_PVhw.dtype)
        weight_PV11 = positive_PV11 / positive_PV11.sum(dim=1, keepdim=True).clamp(min=1)
    weighted_PVhw = weight_PV11 * response_PVhw
    if weighted_PVhw.shape[1] == 1:
        return weighted_PVhw[:, 0]
    return weighted_PVhw[:, 0] + weighted_PVhw[:, 1].flip(-1)


def scores(logit_PVKhw: Tensor, kind: str) -> Tensor:
    """``score_PVK``: the mean over cells of the logits, or of their positive part."""
    evidence = logit_PVKhw.relu() if kind == "relu" else logit_PVKhw
    return evidence.mean(dim=(3, 4))


def score_signs(class_P: Tensor, tag_PK: Tensor, suppress: str) -> Tensor:
    """``sign_PK``: 1 for the class to climb, -1 for the classes to suppress, 0 for the rest."""
    tag_PK = tag_PK.float()
    others_PK = {"all": torch.ones_like, "absent": lambda tag: 1 - tag, "none": torch.zeros_like}
    sign_PK = -others_PK[suppress](tag_PK)
    return sign_PK.scatter(1, class_P[:, None], 1.0)


def discriminative_mask(map_Phw: Tensor, threshold: float) -> Tensor:
    """M (Eq. 8): the cells above a fraction of the maximum, that the score already rests on."""
    return map_Phw > threshold * map_Phw.amax(dim=(1, 2), keepdim=True)


def penalty(map_Phw: Tensor, start_Phw: Tensor, mask_Phw: Tensor, normalised: bool) -> Tensor:
    """``change_P`` (Eq. 7): how far the masked cells have moved, as a mean over all cells."""
    if normalised:
        map_Phw = map_Phw / map_Phw.detach().amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
        start_Phw = start_Phw / start_Phw.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    return (mask_Phw * (map_Phw - start_Phw).abs()).mean(dim=(1, 2))


def stepped(
    view_PVCHW: Tensor, gradient_PVCHW: Tensor, photo_PVCHW: Tensor, settings: Climbing
) -> Tensor:
    """One step along the gradient, scaled so that the largest change of a value is the step size."""
    dims = (1, 2, 3, 4)
    if settings.normalised_step:
        largest = gradient_PVCHW.abs().amax(dims, keepdim=True)
        gradient_PVCHW = gradient_PVCHW / (largest + 1e-12)
    climbed_PVCHW = view_PVCHW + settings.step_size * gradient_PVCHW
    if settings.clamp == "none":
        return climbed_PVCHW
    bounds = view_PVCHW if settings.clamp == "iterate" else photo_PVCHW
    return climbed_PVCHW.clamp(bounds.amin(dims, keepdim=True), bounds.amax(dims, keepdim=True))


def regularization_in_mean_units(
    settings: Climbing, classifier: Classifier, class_P: Tensor, shape: tuple[int, ...]
) -> Tensor:
    """Lambda of each pair for a penalty that is a mean over the ``h * w`` cells of the map.

    A sum over cells is ``h w`` times their mean. The Grad-CAM of the code is the map of `attribution` divided by K+, the
    number of positive weights of the class, and stands once beside scores that are summed over the two views. So

        lambda_mean = h w lambda_sum  =  h w lambda_gradcam / (2 K+).
    """
    cells = shape[-2] * shape[-1]
    weight_KC = classifier.head.weight.flatten(1)
    factor_P = torch.ones_like(class_P, dtype=weight_KC.dtype)
    if settings.regularization_unit == "sum":
        factor_P = factor_P * cells
    elif settings.regularization_unit == "gradcam":
        factor_P = factor_P * cells / (2 * (weight_KC > 0).sum(dim=1)[class_P].clamp(min=1))
    return settings.regularization * factor_P


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Within it no weight asks for a gradient, which halves the cost of a backward pass."""
    asking = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in asking:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in asking:
            weight.requires_grad_(True)
