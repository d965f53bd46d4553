"""Checks of chapter 4, regularization."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from wsss_lib.book.checks.answers import (
    WrongAnswer,
    called,
    close,
    fresh_generator,
    hint_for,
    number,
    right,
    tensor,
)
from wsss_lib.methods.advcam import discriminative_mask, score_signs


def check_pull(answer: Callable[[Tensor, Tensor, float, float], Tensor]) -> None:
    """Exercise 4.2: which way each cell of a map is pulled.

    Args:
        answer: takes ``map_Phw``, ``start_Phw``, tau and lambda; returns ``pull_Phw``, the derivative
            of ``mean(R) - lambda * mean(M |R - R_0|)`` of each map with respect to its cells, times
            their number.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for P, h, w, tau, lam in ((2, 6, 7, 0.5, 10.0), (3, 4, 9, 0.25, 2.5), (1, 8, 5, 0.75, 7.0)):
        map_Phw, start_Phw = two_maps(P, h, w, tau, generator)
        pull_Phw = pull(map_Phw, start_Phw, discriminative_mask(map_Phw, tau), lam)
        mine_Phw = tensor(called(answer, map_Phw, start_Phw, tau, lam), (P, h, w))
        if not close(mine_Phw, pull_Phw):
            raise WrongAnswer(
                hint_for(mine_Phw, mistakes_in_pull(map_Phw, start_Phw, tau, lam))
                or "The pulls differ. Go through the four kinds of cells one by one: outside the mask; "
                "inside and stronger than at the start; inside and weaker; inside and equal."
            )
    right("Up outside the mask; inside it, towards the start as soon as lambda is above 1.")


def pull(map_Phw: Tensor, start_Phw: Tensor, mask_Phw: Tensor, lam: float) -> Tensor:
    """One, minus lambda in the direction in which a masked cell has moved: ``pull_Phw``."""
    return 1 - lam * mask_Phw * (map_Phw - start_Phw).sign()


def mistakes_in_pull(
    map_Phw: Tensor, start_Phw: Tensor, tau: float, lam: float
) -> dict[str, tuple[Tensor, ...]]:
    """What the common mistakes give, by the hint for each."""
    mask_Phw = discriminative_mask(map_Phw, tau)
    largest_P11 = map_Phw.amax(dim=(1, 2), keepdim=True)
    pull_Phw = pull(map_Phw, start_Phw, mask_Phw, lam)
    one_sided = torch.where(map_Phw > start_Phw, 1.0, -1.0)
    other_side = torch.where(map_Phw >= start_Phw, 1.0, -1.0)
    return {
        "A cell exactly at the threshold is not in the mask: use >, not >=.": (
            pull(map_Phw, start_Phw, map_Phw >= tau * largest_P11, lam),
        ),
        "tau is a fraction of the maximum of the map, not a value of the map.": (
            pull(map_Phw, start_Phw, map_Phw > tau, lam),
            pull(map_Phw, start_Phw, map_Phw >= tau, lam),
        ),
        "Here all maps of the batch share one maximum. Each pair climbs by itself: take the maximum of "
        "its own map.": (
            pull(map_Phw, start_Phw, map_Phw > tau * map_Phw.max(), lam),
            pull(map_Phw, start_Phw, map_Phw >= tau * map_Phw.max(), lam),
        ),
        "This is the mask of the first map. The mask is taken from the current one.": (
            pull(map_Phw, start_Phw, discriminative_mask(start_Phw, tau), lam),
        ),
        "This is the wrong way round: the cells *above* the threshold are held.": (
            pull(map_Phw, start_Phw, ~mask_Phw, lam),
        ),
        "Only cells in the mask are held.": (
            pull(map_Phw, start_Phw, torch.ones_like(mask_Phw), lam),
        ),
        "A masked cell that is weaker than at the start is pulled up, not down: the derivative of an "
        "absolute value has a sign.": (1 - lam * mask_Phw,),
        "This pulls masked cells further away from their start. The penalty is subtracted.": (
            2 - pull_Phw,
        ),
        "The penalty alone. The score pulls every cell up, by 1.": (pull_Phw - 1,),
        "This is the other way up: the objective is climbed, so the score pulls upwards.": (
            -pull_Phw,
        ),
        "This is the derivative itself: multiply by the number of cells of a map.": (
            pull_Phw / map_Phw[0].numel(),
            pull_Phw / map_Phw.numel(),
        ),
        "A cell that is where it was is not held: the absolute value has no slope at zero (PyTorch says "
        "0, too).": (1 - lam * mask_Phw * one_sided, 1 - lam * mask_Phw * other_side),
    }


def two_maps(
    P: int, h: int, w: int, tau: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Maps of different maxima now and at the start; some cells are equal, some at the threshold.

    All values are small binary fractions, so that a comparison with the threshold is exact.
    """
    scale_P11 = 2.0 ** torch.arange(P, dtype=torch.float64).view(P, 1, 1)
    map_Phw, start_Phw = torch.randint(64, (2, P, h * w), generator=generator).double() / 64
    for one, other in zip(map_Phw, start_Phw):
        place = torch.randperm(h * w, generator=generator)
        one[place[0]], other[place[1]] = 1.0, 1.0  # the two maxima
        one[place[2:5]] = tau
        other[place[2:5]] = tau / 2
        other[place[5:8]] = one[place[5:8]] = (1 + tau) / 2  # in the mask, and as at the start
        one[place[8:11]], other[place[8:11]] = 1 - (1 - tau) / 4, 1.0  # in it, and weaker
        one[place[11:14]], other[place[11:14]] = 1 - (1 - tau) / 4, tau / 4  # in it, and stronger
    shape = (P, h, w)
    return scale_P11 * map_Phw.view(shape), scale_P11 * start_Phw.view(shape)


def check_lambda(answer: Callable[[float, int, int, Tensor], float]) -> None:
    """Exercise 4.3: lambda of the official code in the unit of the book.

    Args:
        answer: takes the code's lambda, the rows and columns of the map, and ``weight_C``, the head
            weights of the class; returns lambda for a penalty that is a mean over cells.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for C, h, w in ((96, 32, 32), (2048, 24, 32), (40, 9, 14)):
        weight_C = torch.randn(C, generator=generator) + 0.3
        lam = 1 + 9 * float(torch.rand((), generator=generator))
        positive, cells = int((weight_C > 0).sum()), h * w
        value = number(called(answer, lam, h, w, weight_C))
        if is_one_of(value, (cells * lam / (2 * positive),)):
            continue
        mistakes = {
            "Half of that: the code's penalty stands once beside scores that are summed over the two "
            "views.": (cells * lam / positive,),
            "This counts all weights of the class, and zero-mean ones would be half positive only by "
            "chance. Count those above zero.": (cells * lam / (2 * C), cells * lam / C),
            "This is the conversion of the paper's unit. The Grad-CAM of the code is smaller than the "
            "CAM by the number of positive weights.": (cells * lam, cells * lam / 2),
            "This is the other direction: from our unit to the code's.": (
                lam * 2 * positive / cells,
                lam * positive / cells,
            ),
            "The number of cells is missing: the code sums over cells, we take the mean.": (
                lam / (2 * positive),
                lam / positive,
            ),
            "Multiply by the number of cells, do not divide by it.": (
                lam / (2 * positive * cells),
            ),
            "This sums the positive weights. Count them.": (
                cells * lam / (2 * float(weight_C[weight_C > 0].sum())),
                cells * lam / float(weight_C[weight_C > 0].sum()),
            ),
        }
        raise WrongAnswer(
            next((hint for hint, each in mistakes.items() if is_one_of(value, each)), None)
            or "No. Write the code's penalty and ours as sums over the same cells, and compare what "
            "stands in front of the two sums."
        )
    right("So the same number is strong on a fine grid and weak on a coarse one.")


def check_signs(answer: Callable[[int, Tensor], Tensor]) -> None:
    """Exercise 4.4: by which sign each score counts if only absent classes are suppressed.

    Args:
        answer: takes the class to climb and ``tag_K`` (bool); returns ``sign_K``: 1, 0 or -1.

    Raises:
        WrongAnswer: with a hint.
    """
    generator = fresh_generator()
    for K, tags in ((8, 3), (20, 2), (5, 4)):
        chosen = torch.randperm(K, generator=generator)[:tags]
        tag_K, c = torch.zeros(K, dtype=torch.bool), int(chosen[0])
        tag_K[chosen] = True
        sign_K = score_signs(torch.tensor([c]), tag_K[None], "absent")[0]
        mine_K = tensor(called(answer, c, tag_K), (K,))
        if close(mine_K, sign_K):
            continue
        own_K, tagged_K = torch.zeros(2, K, dtype=torch.float64)
        own_K[c], tagged_K[chosen] = 1, 1
        mistakes = {
            "This suppresses every other class, as the code does. Leave alone those that the photo is "
            "tagged with.": (2 * own_K - 1,),
            "This climbs every tagged class at once. Only c is climbed; the other tags get 0.": (
                2 * tagged_K - 1,
            ),
            "This suppresses the other *tagged* classes and leaves the absent ones alone: the wrong way "
            "round.": (2 * own_K - tagged_K,),
            "Class c itself does not count here: it gets 1.": (tagged_K - 1,),
            "Nothing is suppressed here: absent classes get -1.": (own_K,),
            "All signs are the wrong way round: the objective is climbed.": (-sign_K,),
        }
        raise WrongAnswer(
            hint_for(mine_K, mistakes)
            or "The signs differ: 1 for the class that is climbed, -1 for classes that are not in the "
            "photo, 0 for the others that are."
        )
    right("In a photo with a single tag this is the same as suppressing all others.")


def is_one_of(value: float, others: Sequence[float]) -> bool:
    """Whether a number is one of several, up to rounding, however small they are."""
    return any(abs(value / other - 1) < 1e-5 for other in others)
