"""AdvCAM written out slowly: one photo, one class, one step after the other.

`official` follows the procedure of the official code, with its Grad-CAM by a backward pass and a second
backward pass for the photo; `paper` follows Eqs. 1 to 8. Both are what `wsss_lib.methods.advcam` has to equal,
and `official` is what its speed is measured against.
"""

import torch
import torch.nn.functional as F


def grad_cam(classifier, pair_2CHW, c):
    """Grad-CAM of the summed positive logits of class c, over a photo and its mirror image.

    Each channel weighs by the sum of its gradient, over the number of positive gradient values of
    the whole pair.
    """
    feature_2Chw = classifier.backbone(pair_2CHW)
    feature_2Chw.retain_grad()
    logit_2Khw = classifier.head(feature_2Chw)
    logit_2Khw[:, c].relu().sum().backward(retain_graph=True)
    gradient_2Chw = feature_2Chw.grad
    positive = (gradient_2Chw > 0).sum()
    weight_2C11 = gradient_2Chw.sum(dim=(2, 3), keepdim=True) / positive.clamp(min=1)
    map_2hw = (weight_2C11.detach() * feature_2Chw).sum(dim=1).relu()
    return map_2hw[0] + map_2hw[1].flip(-1), logit_2Khw


def official(classifier, image_CHW, c, *, steps=27, xi=0.08, lam=7.0, tau=0.5):
    """The map of one scale: the sum of the Grad-CAMs of ``steps`` iterates."""
    x = torch.stack([image_CHW, image_CHW.flip(-1)])
    total = start = 0.0
    for t in range(steps):
        x = x.detach().requires_grad_()
        classifier.zero_grad()
        map_hw, logit_2Khw = grad_cam(classifier, x, c)
        total = total + map_hw.detach()
        if t == 0:
            start = map_hw.detach()
        mask_hw = (map_hw / map_hw.max() > tau).detach()
        score_2K = logit_2Khw.relu().mean(dim=(2, 3))
        objective = (2 * score_2K[:, c] - score_2K.sum(dim=1)).sum()
        objective = objective - lam * (mask_hw * (map_hw - start).abs()).sum()
        x.grad = None
        objective.backward()
        step = x.grad / (x.grad.abs().max() + 1e-12)
        x = (x + xi * step).detach().clamp(x.min().item(), x.max().item())
    return total


def official_multi_scale(classifier, image_CHW, c, scales, resize_image, **settings):
    """The sum over scales, resized to a quarter of the photo and divided by its maximum."""
    height, width = image_CHW.shape[-2:]
    size = ((height - 1) // 4 + 1, (width - 1) // 4 + 1)
    total = 0.0
    for scale in scales:
        steps = settings["steps"]
        if scale < 1 and steps >= 6:
            steps = steps // 2 if steps > 10 else 5
        image = resize_image(image_CHW[None], scale)[0]
        map_hw = official(classifier, image, c, **{**settings, "steps": steps})
        total = (
            total
            + F.interpolate(map_hw[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        )
    return total / (total.max() + 1e-5)


def paper(classifier, image_CHW, c, *, steps, xi, lam, tau):
    """The sum of T + 1 CAMs of a photo alone, climbed by the plain gradient of the logits."""
    x = image_CHW[None]
    total = start = 0.0
    for t in range(steps + 1):
        x = x.detach().requires_grad_()
        feature_Chw = classifier.backbone(x)[0]
        weight_KC = classifier.head.weight[:, :, 0, 0]
        map_hw = torch.einsum("c,chw->hw", weight_KC[c], feature_Chw).relu()
        map_hw = map_hw / map_hw.max().detach()
        if t == 0:
            start = map_hw.detach()
        total = (
            total
            + map_hw.detach()
            * torch.einsum("c,chw->hw", weight_KC[c], feature_Chw).relu().max().detach()
        )
        score_K = weight_KC @ feature_Chw.mean(dim=(1, 2))
        mask_hw = (map_hw > tau).detach()
        objective = score_K[c] - score_K[torch.arange(len(score_K)) != c].sum()
        objective = objective - lam * (mask_hw * (map_hw - start).abs()).sum()
        (gradient,) = torch.autograd.grad(objective, x)
        x = x + xi * gradient
    return total
