"""Whatever moves a photo moves its mask: alignment, void, padding, chance, and the views."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from wsss_lib.data.augmentation import (
    MEAN,
    STD,
    Augmentation,
    Normalise,
    RandomRescale,
    denormalise,
    mirrored_views,
    normalise,
    paired_augmentation,
    scaled,
)

ALL = {
    "nothing": Augmentation(),
    "long side": Augmentation(long_side=(40, 120)),
    "rescale": Augmentation(rescale=(0.5, 1.5)),
    "flip": Augmentation(flip=True),
    "shift": Augmentation(shift=9),
    "noise": Augmentation(noise=0.05),
    "crop": Augmentation(crop=48),
    "large crop": Augmentation(crop=100),
    "IRN": Augmentation(long_side=(40, 120), flip=True, crop=64),
    "toy": Augmentation(flip=True, shift=12, jitter=(0.1, 0.1, 0.1), noise=0.05),
    "everything": Augmentation(
        rescale=(0.5, 1.5), flip=True, shift=9, jitter=(0.05, 0.05, 0.05), noise=0.05, crop=70
    ),
}
NAN = math.nan
PADDING = torch.tensor([124, 116, 104], dtype=torch.uint8)  # 255 times MEAN, rounded
LEVEL = {0: 0, 1: 90, 2: 170, 255: 255}  # the grey that shows each label in `scene`


def scene(H=57, W=80):
    """A mask of patches of 0, 1, 2 and void, and a photo in which each label is a grey."""
    labels = torch.tensor([0, 1, 2, 255], dtype=torch.uint8)
    generator = torch.Generator().manual_seed(3)
    patches = labels[torch.randint(0, 4, (5, 6), generator=generator)]
    mask = patches.repeat_interleave(12, 0).repeat_interleave(14, 1)[:H, :W].contiguous()
    image = torch.zeros(3, H, W, dtype=torch.uint8)
    for label, grey in LEVEL.items():
        image[:, mask == label] = grey
    return {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(mask), "tags": torch.ones(2)}


def inside(mask_HW):
    """Pixels whose 5 x 5 neighbourhood has one label: there interpolation cannot blur."""
    windows = torch.nn.functional.pad(mask_HW[None, None].float(), [2] * 4, mode="replicate")
    windows = windows.unfold(2, 5, 1).unfold(3, 5, 1).flatten(-2)[0, 0]
    return windows.amax(-1) == windows.amin(-1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ALL)
def test_photo_and_mask_stay_aligned(name, seed):
    torch.manual_seed(seed)
    out = paired_augmentation(ALL[name])(scene())
    image, mask = out["image"], out["mask"]
    noisy = ALL[name].noise > 0
    assert image.dtype == (torch.float32 if noisy else torch.uint8)
    assert mask.dtype == (torch.int64 if noisy else torch.uint8)
    assert type(image) is type(mask) is torch.Tensor
    assert image.shape[1:] == mask.shape and torch.equal(out["tags"], torch.ones(2))
    assert set(mask.unique().tolist()) <= {0, 1, 2, 255}
    colour = torch.zeros(3) if noisy else PADDING  # no grey of the scene is
    padding = (image == colour[:, None, None]).all(dim=0)
    assert (mask[padding] == 255).all()
    seen = (denormalise(image) if noisy else image).float().mean(dim=0)
    mask = mask.long()
    shown = torch.zeros(256)
    shown[list(LEVEL)] = torch.tensor(list(LEVEL.values()), dtype=torch.float)
    sure = inside(mask) & ~padding & ~near(padding)
    assert sure.sum() > 200
    # greys are at least 80 apart
    assert (seen - shown[mask])[sure].abs().max() < 40


def near(area_HW):
    return torch.nn.functional.max_pool2d(area_HW[None].float(), 5, 1, 2)[0] > 0


@pytest.mark.parametrize("factor", [0.5, 0.6, 1.4, 2.0, 3.0])
def test_resizing_does_not_shift_the_mask_against_the_photo(factor):
    """The mask's pixels are those nearest to the middle of each new pixel, at any factor."""
    item = scene(48, 60)
    item["mask"] = tv_tensors.Mask(torch.arange(60, dtype=torch.uint8).expand(48, 60))
    mask = paired_augmentation(Augmentation(rescale=(factor, factor)))(item)["mask"]
    W = mask.shape[1]
    expected = [min(59, int((x + 0.5) * 60 / W)) for x in range(W)]
    off = (mask[0].long() - torch.tensor(expected)).abs()
    assert off.max() <= 1 and (off > 0).float().mean() < 0.05  # a tie may go either way


def test_crop_of_a_small_photo_pads_with_the_mean_colour_and_void():
    torch.manual_seed(0)
    places = set()
    for _ in range(30):
        item = scene()
        item["mask"] = tv_tensors.Mask(torch.ones(57, 80, dtype=torch.uint8))
        out = paired_augmentation(Augmentation(crop=100))(item)
        photo = out["mask"] == 1
        assert photo.sum() == 57 * 80 and (out["mask"][~photo] == 255).all()
        assert (out["image"][:, ~photo] == PADDING[:, None]).all()
        places.add(tuple(photo.nonzero()[0].tolist()))
    assert len(places) > 20
    assert normalise(PADDING[:, None, None]).abs().max() < 0.01  # IRN pads with zeros


def test_with_noise_it_pads_with_zeros():
    torch.manual_seed(0)
    out = paired_augmentation(Augmentation(crop=100, noise=1e-9))(scene())
    mask = out["mask"]
    assert (out["image"][:, mask == 255] == 0).all(dim=0).sum() >= 100 * 100 - 57 * 80


@pytest.mark.parametrize("seed", range(8))
def test_a_photo_in_bytes_is_what_the_loader_would_have_normalised(seed):
    """Exactly so, but for the padding: its colour is the mean, rounded to half a grey level."""
    fill = {tv_tensors.Image: 0.0, tv_tensors.Mask: 255}
    crop = v2.RandomCrop(100, pad_if_needed=True, fill=fill)
    steps = [RandomRescale(0.5, 1.5), v2.RandomHorizontalFlip(), Normalise(), crop]
    torch.manual_seed(seed)
    literal = v2.Compose([*steps, v2.ToPureTensor()])(scene())
    torch.manual_seed(seed)
    ours = paired_augmentation(Augmentation(rescale=(0.5, 1.5), flip=True, crop=100))(scene())
    assert ours["image"].dtype == ours["mask"].dtype == torch.uint8
    assert literal["image"].dtype == torch.float32 and literal["mask"].dtype == torch.int64
    assert torch.equal(ours["mask"].long(), literal["mask"])
    padding = (literal["image"] == 0).all(dim=0)  # no grey is the mean colour
    photo = normalise(ours["image"])
    assert torch.equal(photo[:, ~padding], literal["image"][:, ~padding])
    half_a_level = 0.5 / 255 / torch.tensor(STD)
    assert padding.any() and (photo[:, padding].abs() <= half_a_level[:, None] + 1e-6).all()


def test_shift_moves_by_at_most_so_many_pixels_and_reflects():
    values = torch.arange(40 * 50).view(40, 50)
    moves = set()
    for seed in range(200):
        torch.manual_seed(seed)
        item = {"image": tv_tensors.Image(torch.zeros(3, 40, 50, dtype=torch.uint8))}
        mask = paired_augmentation(Augmentation(shift=2))(item | {"mask": tv_tensors.Mask(values)})[
            "mask"
        ]
        y, x = divmod(int(mask[20, 25]), 50)
        moves.add((y - 20, x - 25))
        for i in range(40):  # row by row, the literal reflection
            row = i + y - 20
            row = abs(row) if row < 40 else 78 - row
            assert mask[i, 25] == values[row, x]
    assert moves == {(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)}


def test_shift_of_a_photo_smaller_than_the_shift():
    out = paired_augmentation(Augmentation(shift=12))(scene(5, 3))
    assert out["image"].shape == (3, 5, 3) and out["mask"].shape == (5, 3)


def test_long_side_and_rescale_draw_from_their_whole_range():
    sides, factors = set(), []
    for seed in range(300):
        torch.manual_seed(seed)
        sides.add(max(paired_augmentation(Augmentation(long_side=(40, 44)))(scene())["mask"].shape))
        shape = paired_augmentation(Augmentation(rescale=(0.5, 1.5)))(scene())["mask"].shape
        factors.append(shape[1] / 80)
    assert sides == {40, 41, 42, 43, 44}
    assert 0.5 <= min(factors) < 0.54 and 1.46 < max(factors) <= 1.5


def test_noise_is_on_the_image_alone_and_as_strong_as_said():
    deviations = []
    for seed in range(200):
        torch.manual_seed(seed)
        out = paired_augmentation(Augmentation(noise=0.3))(scene())
        deviations.append(float((out["image"] - normalise(scene()["image"])).std()))
        assert torch.equal(out["mask"], scene()["mask"].long())
    assert max(deviations) < 0.31 and abs(sum(deviations) / 200 - 0.15) < 0.02


def test_jitter_changes_colours_within_bounds():
    item = {"image": tv_tensors.Image(torch.full((3, 8, 8), 100, dtype=torch.uint8))}
    seen = set()
    for seed in range(200):
        torch.manual_seed(seed)
        jitter = paired_augmentation(Augmentation(jitter=(0.15, 0.0, 0.0)))
        seen.add(int(jitter(item)["image"][0, 0, 0]))
    assert min(seen) < 88 and max(seen) > 112 and min(seen) >= 84 and max(seen) <= 116


def test_flip_mirrors_half_of_the_photos():
    flips, straight = 0, scene()["mask"]
    for seed in range(200):
        torch.manual_seed(seed)
        mask = paired_augmentation(Augmentation(flip=True))(scene())["mask"]
        flips += int(torch.equal(mask, straight.flip(-1)))
        assert torch.equal(mask, straight) or torch.equal(mask, straight.flip(-1))
    assert 70 < flips < 130


def test_two_ways_to_resize_at_once_are_refused():
    with pytest.raises(ValueError, match="not both"):
        Augmentation(long_side=(1, 2), rescale=(1, 2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop": 0}, {"shift": -1}, {"noise": -0.1}, {"noise": NAN}, {"noise": math.inf},
        {"jitter": (0.1, -0.1, 0.0)}, {"jitter": (0.1, NAN, 0.0)}, {"rescale": (1.5, 0.5)},
        {"rescale": (0.0, 1.0)}, {"rescale": (0.5, math.inf)}, {"rescale": (NAN, 1.0)},
        {"long_side": (320, 100)}, {"long_side": (-1, 3)},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)


def test_normalise_is_imagenets_and_denormalise_its_inverse():
    every = torch.arange(256, dtype=torch.uint8).expand(2, 3, 1, 256)
    normal = normalise(every)
    for value in (0, 7, 255):
        for c in range(3):
            expected = (value / 255 - MEAN[c]) / STD[c]
            assert float(normal[1, c, 0, value]) == pytest.approx(expected, abs=1e-5)
    assert torch.equal(denormalise(normal), every)
    beyond = torch.tensor([-50.0, 50.0]).expand(3, 1, 2)
    assert denormalise(beyond).tolist() == [[[0, 255]]] * 3  # clamped, not wrapped
    with pytest.raises(TypeError, match="normalised already"):
        normalise(normal)


def test_mirrored_views_are_the_image_and_its_mirror():
    image = torch.rand(2, 3, 4, 5)
    views = mirrored_views(image)
    assert views.shape == (2, 2, 3, 4, 5) and torch.equal(views[:, 0], image)
    assert all(torch.equal(views[:, 1, ..., x], image[..., 4 - x]) for x in range(5))


def test_scaled_sizes_and_values():
    y, x = torch.meshgrid(torch.arange(47.0), torch.arange(63.0), indexing="ij")
    plane = (2 * x + 3 * y)[None, None]
    for scale in (0.5, 1, 1.5, 2):
        out = scaled(plane, scale)[0, 0]
        H, W = round(47 * scale), round(63 * scale)
        assert out.shape == (H, W)
        # a plane stays a plane (away from the border): pixel i lies at (i + 1/2) / scale - 1/2
        i, j = H // 2, W // 3
        expected = 2 * ((j + 0.5) * 63 / W - 0.5) + 3 * ((i + 0.5) * 47 / H - 0.5)
        assert float(out[i, j]) == pytest.approx(expected, abs=1e-3)
    assert scaled(plane, 1) is plane
