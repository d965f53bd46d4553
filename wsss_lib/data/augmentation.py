"""Paired augmentation: whatever moves a photo moves its mask along; and the views of a photo.

A transform takes and returns the dict of one photo: ``image``, ``tags`` and, where there is one,
``mask``. All chance comes from torch's global generator, so the seed set before an item decides it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from wsss_lib.data.layout import VOID
from wsss_lib.data.limits import refuse_outside

# of ImageNet, as every backbone in torchvision expects them
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

Item = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What happens to a training photo, in this order; the default changes nothing."""

    long_side: tuple[int, int] | None = None
    """Resize so that the longer side is U[lo, hi] pixels (IRN's classifier: 320, 640)."""
    rescale: tuple[float, float] | None = None
    """Or resize by a factor U[lo, hi] (AMN and DeepLab: 0.5, 1.5)."""
    flip: bool = False
    """Mirror half of the photos."""
    shift: int = 0
    """Move by up to so many pixels, filling up by reflection (small photos: a crop without loss)."""
    jitter: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Change brightness, contrast, saturation by a factor U[1 - j, 1 + j] each."""
    noise: float = 0.0
    """Add Gaussian noise of a standard deviation U[0, noise] in normalised units."""
    crop: int | None = None
    """Side in pixels of a random square; smaller photos are padded with the mean colour and their masks with void (as IRN
    does)."""

    def __post_init__(self) -> None:
        if self.long_side and self.rescale:
            raise ValueError("give long_side or rescale, not both")
        for name in ("long_side", "rescale"):
            low, high = getattr(self, name) or (1, 1)
            if not low <= high:
                raise ValueError(f"{name} is a range, low to high, not {low} to {high}")
        refuse_outside(self, "long_side crop", least=1, whole=True)
        refuse_outside(self, "rescale", above=0)
        refuse_outside(self, "shift", least=0, whole=True)
        refuse_outside(self, "noise", least=0)
        refuse_outside(self, "jitter", least=0, most=1)


def paired_augmentation(augmentation: Augmentation) -> Callable[[Item], Item]:
    """The transform on the dict of one photo that does what ``augmentation`` says.

    Photos and masks go in as uint8 and come out as uint8, to be normalised on the device: so the least travels from the
    processes that load them. The mean colour that pads a small photo is then a whole grey level, and less than 0.01 from
    zero when it is normalised. With ``noise`` the image comes out normalised, in float32, padded with zeros, and the mask
    in int64.
    """
    a = augmentation
    steps: list[Callable[[Item], Item]] = []
    if a.long_side:
        steps.append(RandomLongSide(*a.long_side))
    if a.rescale:
        steps.append(RandomRescale(*a.rescale))
    if a.flip:
        steps.append(v2.RandomHorizontalFlip())
    if a.shift:
        steps.append(RandomShift(a.shift))
    if any(a.jitter):
        steps.append(v2.ColorJitter(*a.jitter))
    colour: float | tuple[int, ...] = tuple(round(255 * mean) for mean in MEAN)
    if a.noise:
        steps += [Normalise(), RandomNoise(a.noise)]
        colour = 0.0
    if a.crop:
        fill = {tv_tensors.Image: colour, tv_tensors.Mask: VOID}
        steps.append(v2.RandomCrop(a.crop, pad_if_needed=True, fill=fill))
    return v2.Compose([*steps, v2.ToPureTensor()])


class RandomLongSide:
    """Resize so that the longer side is U[lo, hi] pixels (IRN, ``random_resize_long``)."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, item: Item) -> Item:
        side = int(torch.randint(self.low, self.high + 1, ()))
        return _resized(item, side / max(item["image"].shape[-2:]))


class RandomRescale:
    """Resize by a factor U[lo, hi]."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, item: Item) -> Item:
        return _resized(item, _uniform(self.low, self.high))


class RandomShift:
    """Move by up to ``pixels`` along either axis; what comes in is the reflection."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels

    def __call__(self, item: Item) -> Item:
        H, W = item["image"].shape[-2:]
        pad_y, pad_x = (
            min(self.pixels, H - 1),
            min(self.pixels, W - 1),
        )  # reflection needs pad < side
        top = int(torch.randint(0, 2 * pad_y + 1, ()))
        left = int(torch.randint(0, 2 * pad_x + 1, ()))

        def move(pixels: Tensor) -> Tensor:
            padded = TF.pad(pixels, [pad_x, pad_y], padding_mode="reflect")
            return TF.crop(padded, top, left, H, W)

        return _on_pixels(item, move)


class Normalise:
    """:func:`normalise` the image; the mask becomes int64, the type that the losses want."""

    def __call__(self, item: Item) -> Item:
        item = {**item, "image": tv_tensors.Image(normalise(item["image"]))}
        if "mask" in item:
            item["mask"] = tv_tensors.Mask(item["mask"].long())
        return item


class RandomNoise:
    """Add Gaussian noise of a standard deviation U[0, sd] to the image alone."""

    def __init__(self, sd: float) -> None:
        self.sd = sd

    def __call__(self, item: Item) -> Item:
        image = item["image"]
        noisy = torch.randn(image.shape).mul_(_uniform(0, self.sd)).add_(image)
        return {**item, "image": tv_tensors.Image(noisy)}


def normalise(image: Tensor) -> Tensor:
    """uint8 ``(..., 3, H, W)`` to float32 with ImageNet's mean and standard deviation."""
    if image.dtype != torch.uint8:
        raise TypeError(f"normalise takes uint8, not {image.dtype}: is it normalised already?")
    mean, std = _channelwise(image)
    return image.float().sub_(255 * mean).div_(255 * std)


def denormalise(image: Tensor) -> Tensor:
    """The inverse of :func:`normalise`: uint8 ``(..., 3, H, W)``, rounded and clamped."""
    mean, std = _channelwise(image)
    return (image * (255 * std) + 255 * mean).round().clamp(0, 255).to(torch.uint8)


def mirrored_views(image_BCHW: Tensor) -> Tensor:
    """Each image and its mirror: ``(B, V, C, H, W)`` with V = 2."""
    return torch.stack((image_BCHW, image_BCHW.flip(-1)), dim=1)


def scaled(image_BCHW: Tensor, scale: float) -> Tensor:
    """Normalised images, both sides times ``scale`` and rounded; bicubic, antialiased."""
    if scale == 1:
        return image_BCHW
    size = [max(1, round(side * scale)) for side in image_BCHW.shape[-2:]]
    return F.interpolate(image_BCHW, size, mode="bicubic", align_corners=False, antialias=True)


def _resized(item: Item, scale: float) -> Item:
    size = [max(1, round(side * scale)) for side in item["image"].shape[-2:]]

    def resize(pixels: Tensor) -> Tensor:
        if isinstance(pixels, tv_tensors.Mask):
            # v2 takes NEAREST for masks, which picks the upper left pixel and so shifts the mask
            # against the photo; NEAREST_EXACT picks the middle one
            plain = pixels.as_subclass(Tensor)[None]
            nearest = v2.InterpolationMode.NEAREST_EXACT
            return tv_tensors.Mask(TF.resize(plain, size, interpolation=nearest)[0])
        return TF.resize(pixels, size, interpolation=v2.InterpolationMode.BICUBIC, antialias=True)

    return _on_pixels(item, resize)


def _on_pixels(item: Item, move: Callable[[Tensor], Tensor]) -> Item:
    return {key: move(value) if key in ("image", "mask") else value for key, value in item.items()}


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _channelwise(image: Tensor) -> tuple[Tensor, Tensor]:
    dtype = image.dtype if image.is_floating_point() else torch.float32
    pair = torch.tensor((MEAN, STD), dtype=dtype, device=image.device)
    return pair[0, :, None, None], pair[1, :, None, None]
