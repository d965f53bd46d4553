import dataclasses
import math

import pytest
import torch

from tests.methods.literal_advcam import grad_cam, official, official_multi_scale, paper
from tests.networks import calibrated_classifier
from wsss_lib.data.augmentation import mirrored_views, scaled
from wsss_lib.methods import advcam as advcam_module
from wsss_lib.methods.advcam import Climbing, advcam, attribution, climb, frozen
from wsss_lib.methods.cam import cam, max_normalised

RTOL = 1e-6
PAPER = Climbing(
    regularization_unit="sum",
    score="logit",
    view_weights="equal",
    joint_views=False,
    normalised_step=False,
    clamp="none",
    normalised_penalty=True,
    sum_last=True,
)


@pytest.fixture(scope="module")
def classifier():
    return calibrated_classifier()


@pytest.fixture
def photo():
    torch.manual_seed(1)
    return torch.randn(3, 40, 56, dtype=torch.float64)


def one_hot(c, classes=4):
    return torch.nn.functional.one_hot(torch.tensor([c]), classes).double()


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 9])
def test_climbing_equals_the_official_procedure(classifier, photo, steps):
    settings = Climbing(steps=steps)
    for c in range(4):
        ours = climb(classifier, photo[None], torch.tensor([c]), one_hot(c), settings)[0]
        theirs = official(classifier, photo, c, steps=steps)
        assert theirs.max() > 0
        torch.testing.assert_close(ours / ours.max(), theirs / theirs.max(), rtol=RTOL, atol=1e-12)


def test_the_closed_form_is_the_grad_cam(classifier, photo):
    pair = torch.stack([photo, photo.flip(-1)]).requires_grad_()
    for c in range(4):
        literal, logit_2Khw = grad_cam(classifier, pair, c)
        ours = attribution(logit_2Khw.detach()[None], torch.tensor([c]), "positive")[0]
        positive = (classifier.head.weight[c] > 0).sum()
        torch.testing.assert_close(ours / positive, literal.detach(), rtol=RTOL, atol=1e-12)


def test_scales_and_their_steps_equal_the_official_procedure(classifier, photo):
    scales = (0.5, 1.0, 1.5)
    settings = Climbing(steps=11)
    for c in (0, 2):
        ours = advcam(classifier, photo[None], one_hot(c), scales, settings)[0]
        theirs = official_multi_scale(
            classifier, photo, c, scales, scaled, steps=11, xi=0.08, lam=7.0, tau=0.5
        )
        # the two normalise by maps that differ by a constant, beside an epsilon of 1e-5
        torch.testing.assert_close(ours / ours.max(), theirs / theirs.max(), rtol=RTOL, atol=1e-12)


def test_pairs_climb_alone_in_a_batch(classifier):
    torch.manual_seed(2)
    images = torch.randn(3, 3, 40, 40, dtype=torch.float64)
    tags = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0], [1, 1, 1, 0]], dtype=torch.float64)
    settings = Climbing(steps=6, suppress="absent")
    photo_P, class_P = tags.nonzero(as_tuple=True)
    together = climb(classifier, images[photo_P], class_P, tags[photo_P], settings)
    for number, (b, c) in enumerate(zip(photo_P, class_P)):
        alone = climb(classifier, images[b, None], c[None], tags[b, None], settings)[0]
        torch.testing.assert_close(together[number], alone, rtol=RTOL, atol=1e-12)


def three_photos(dtype=torch.float64):
    """Photos of 40 x 48 pixels, and their six pairs with a class."""
    torch.manual_seed(2)
    images = torch.randn(3, 3, 40, 48, dtype=torch.float64).to(dtype)
    return images, torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0], [1, 1, 0, 1]], dtype=dtype)


SCALES = (0.5, 1.0)
PAIR = 2 * 40 * 48  # pixels of a pair's views at scale 1
BUDGETS = [0, PAIR - 1, 2 * PAIR, 5 * PAIR, 100 * PAIR]


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_budget_of_pixels_decides_how_many_pairs_climb_together(classifier, budget, monkeypatch):
    together = []

    def watched(classifier, image_PCHW, *rest, **options):
        together.append((image_PCHW.shape[-2:], len(image_PCHW)))
        return climb(classifier, image_PCHW, *rest, **options)

    monkeypatch.setattr(advcam_module, "climb", watched)
    advcam(classifier, *three_photos(), SCALES, Climbing(steps=1), batch_pixels=budget)
    expected = []
    for h, w in [(20, 24), (40, 48)]:
        most = max(1, math.floor(budget / (2 * h * w)))
        left = 6
        while left:
            expected.append(((h, w), min(most, left)))
            left -= expected[-1][1]
    assert together == expected


@pytest.mark.parametrize("joint_views", [True, False])
@pytest.mark.parametrize("budget", BUDGETS)
def test_a_budget_of_pixels_does_not_change_the_maps(classifier, budget, joint_views):
    settings = Climbing(steps=6, joint_views=joint_views, suppress="absent")
    maps = [
        advcam(classifier, *three_photos(), SCALES, settings, batch_pixels=pixels)
        for pixels in (None, budget)
    ]
    assert maps[0].shape == (6, 10, 12)
    torch.testing.assert_close(maps[1], maps[0], rtol=1e-12, atol=1e-12)


def seen_and_slope(network, image_BCHW):
    """The logit maps of photos, and the gradient of their sum."""
    image_BCHW = image_BCHW.clone().requires_grad_()
    logit_BKhw = network.logit_map(image_BCHW)
    return logit_BKhw.detach(), *torch.autograd.grad(logit_BKhw.sum(), image_BCHW)


def test_in_float32_the_maps_are_the_same_to_the_bit_where_convolutions_are():
    network = calibrated_classifier().float()
    images, tags = three_photos(torch.float32)
    views = mirrored_views(images).flatten(0, 1)
    parts = [seen_and_slope(network, pair) for pair in views.split(2)]
    whole = seen_and_slope(network, views)
    if not all(torch.equal(torch.cat(a), b) for a, b in zip(zip(*parts), whole)):
        pytest.skip("here convolutions round otherwise in larger batches")
    together = advcam(network, images, tags, SCALES, Climbing(steps=6))
    for budget in BUDGETS:
        maps = advcam(network, images, tags, SCALES, Climbing(steps=6), batch_pixels=budget)
        assert torch.equal(maps, together)


def test_a_photo_without_tags_has_no_map(classifier):
    images, tags = three_photos()
    tags[0] = 0
    for budget in (None, 0):
        maps = advcam(classifier, images, tags, settings=Climbing(steps=2), batch_pixels=budget)
        assert maps.shape == (4, 10, 12)
        none = advcam(classifier, images, 0 * tags, SCALES, batch_pixels=budget)
        assert none.shape == (0, 10, 12)


def test_in_mixed_precision_maps_are_summed_in_float32():
    network, seen = calibrated_classifier().float(), []
    images, tags = three_photos(torch.float32)
    photo_P, class_P = tags.nonzero(as_tuple=True)
    own = network.logit_map
    network.logit_map = lambda image: seen.append(own(image)) or seen[-1]
    settings = Climbing(steps=9, view_weights="equal")
    with torch.autocast("cpu", torch.bfloat16):
        ours = climb(network, images[photo_P], class_P, tags[photo_P], settings)
    assert len(seen) == 9 and {logits.dtype for logits in seen} == {torch.bfloat16}
    for p, c in enumerate(class_P):
        total, in_16_bits = torch.zeros(5, 6), torch.zeros(5, 6, dtype=torch.bfloat16)
        for logits in seen:
            photo, mirror = logits[2 * p, c].detach(), logits[2 * p + 1, c].detach().flip(-1)
            total += (photo.float().relu() + mirror.float().relu()) / 2
            in_16_bits += (photo.relu() + mirror.relu()) / 2
        torch.testing.assert_close(ours[p], total, rtol=1e-6, atol=1e-7)
        assert (ours[p] - in_16_bits).abs().max() > 1e-3 * total.max()


@pytest.mark.parametrize("steps", [1, 3])
def test_the_other_switches_give_the_equations_of_the_paper(classifier, photo, steps):
    settings = dataclasses.replace(
        PAPER, steps=steps, step_size=0.3, regularization=0.02, mask_threshold=0.4
    )
    for c in range(4):
        ours = climb(classifier, photo[None], torch.tensor([c]), one_hot(c), settings)[0]
        literal = {"steps": steps, "xi": 0.3, "lam": 0.02, "tau": 0.4}
        theirs = paper(classifier, photo, c, **literal)
        mirrored = paper(classifier, photo.flip(-1), c, **literal).flip(-1)
        torch.testing.assert_close(ours, theirs + mirrored, rtol=RTOL, atol=1e-12)


def test_the_three_units_of_lambda_convert(classifier, photo):
    c, cells = 1, 5 * 7
    positive = int((classifier.head.weight[c] > 0).sum())
    maps = [
        climb(
            classifier,
            photo[None],
            torch.tensor([c]),
            one_hot(c),
            Climbing(steps=4, regularization=value, regularization_unit=unit),
        )
        for value, unit in [
            (7.0, "gradcam"),
            (7 * cells / (2 * positive), "mean"),
            (7 / (2 * positive), "sum"),
        ]
    ]
    torch.testing.assert_close(maps[0], maps[1], rtol=RTOL, atol=0)
    torch.testing.assert_close(maps[0], maps[2], rtol=RTOL, atol=0)


@pytest.mark.parametrize(
    "change",
    [
        {"step_size": 0.04},
        {"regularization": 0.0},
        {"mask_threshold": 0.2},
        {"score": "logit"},
        {"suppress": "absent"},
        {"suppress": "none"},
        {"view_weights": "equal"},
        {"joint_views": False},
        {"normalised_step": False},
        {"clamp": "photo"},
        {"clamp": "none"},
        {"normalised_penalty": True},
        {"sum_last": True},
        {"normalise_each": True},
        {"regularization_unit": "mean"},
    ],
    ids=str,
)
def test_every_switch_changes_the_map(classifier, photo, change):
    tags = torch.tensor([[1.0, 1, 0, 0]], dtype=torch.float64)
    default = Climbing(steps=5, step_size=0.5)  # large, so that the clamp is felt
    maps = [
        max_normalised(climb(classifier, photo[None], torch.tensor([0]), tags, settings))
        for settings in (default, dataclasses.replace(default, **change))
    ]
    assert (maps[0] - maps[1]).abs().max() > 1e-6


def test_compensating_doubles_the_maps_of_small_scales(classifier, photo):
    settings = Climbing(steps=8, compensate_half_steps=True)
    ours = advcam(classifier, photo[None], one_hot(0), (0.5, 1.0), settings)
    plain = Climbing(steps=8)
    assert plain.steps_at(0.5) == 5 and plain.steps_at(1.0) == 8
    assert (
        ours - advcam(classifier, photo[None], one_hot(0), (0.5, 1.0), plain)
    ).abs().max() > 1e-6
    one_scale = [
        advcam(classifier, photo[None], one_hot(0), (0.5,), each) for each in (settings, plain)
    ]
    torch.testing.assert_close(*one_scale, rtol=1e-4, atol=1e-5)  # a constant, up to epsilon


@pytest.mark.parametrize("steps, at_half", [(27, 13), (11, 5), (10, 5), (6, 5), (5, 5), (1, 1)])
def test_steps_of_the_half_scale(steps, at_half):
    assert Climbing(steps=steps).steps_at(0.5) == at_half
    assert Climbing(steps=steps, half_steps_below_one=False).steps_at(0.5) == steps


def test_one_step_is_the_cam(classifier, photo):
    settings = Climbing(steps=1, view_weights="equal")
    ours = advcam(classifier, photo[None], one_hot(3), (1.0,), settings)
    torch.testing.assert_close(ours, cam(classifier, photo[None], one_hot(3)), rtol=1e-4, atol=1e-5)


def test_the_score_climbs_and_an_attack_falls(classifier, photo):
    up, down = [], []
    settings = Climbing(steps=8, regularization=0, suppress="none")
    climb(classifier, photo[None], torch.tensor([0]), one_hot(0), settings, trace=up)
    settings = dataclasses.replace(settings, step_size=-0.08)
    climb(classifier, photo[None], torch.tensor([0]), one_hot(0), settings, trace=down)
    assert len(up) == 8
    assert up[-1].score_PK[0, 0] > up[0].score_PK[0, 0] > down[-1].score_PK[0, 0]


def test_the_trace_is_the_sum(classifier, photo):
    trace = []
    total = climb(
        classifier, photo[None], torch.tensor([0]), one_hot(0), Climbing(steps=4), trace=trace
    )
    torch.testing.assert_close(sum(step.map_Phw for step in trace), total)
    for step in trace:
        assert step.image_PVCHW.shape == (1, 2, 3, 40, 56) and not step.image_PVCHW.requires_grad
        high = step.map_Phw > 0.5 * step.map_Phw.max()
        assert torch.equal(step.mask_Phw, high)
    assert torch.equal(trace[0].image_PVCHW[0, 0], photo)
    assert trace[1].image_PVCHW.max() <= photo.max() and trace[1].image_PVCHW.min() >= photo.min()


def test_a_class_without_response_has_an_empty_map(classifier, photo):
    silent = calibrated_classifier()
    with torch.no_grad():
        silent.head.weight[2] = -silent.head.weight[2].abs()
    maps = advcam(silent, photo[None], one_hot(2), (1.0,), Climbing(steps=3))
    assert torch.equal(maps, torch.zeros_like(maps))


def test_climbing_leaves_the_network_as_it_was(photo):
    classifier = calibrated_classifier()
    classifier.backbone.stages[0].requires_grad_(False)
    before = [weight.requires_grad for weight in classifier.parameters()]
    climb(classifier, photo[None], torch.tensor([0]), one_hot(0), Climbing(steps=2))
    assert [weight.requires_grad for weight in classifier.parameters()] == before
    assert all(weight.grad is None for weight in classifier.parameters())
    with pytest.raises(RuntimeError), frozen(classifier):
        raise RuntimeError
    assert [weight.requires_grad for weight in classifier.parameters()] == before
