"""Measures what each part of AMN does, and writes `book/results/ablations.json`.

    make ablations       (= .venv/bin/python book/ablations.py; unattended, two CPU cores)

The photos, classifiers, maps and seeds are those of `make evidence`, on the same three data seeds.
AMN is trained on the same AdvCAM seeds in twelve ways: with and without its softened and its
balanced loss; with label conditioning nowhere, late or early, each from the same three beginnings;
and told every class for every photo. Every number is written for every seed.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from evidence import RESULTS, SEEDS
from evidence import RUNS as EVIDENCE
from evidence import recipes as evidence_recipes
from torch import nn

from wsss_lib.data.files import read_json, write_json
from wsss_lib.methods.amn import AMN, amn_maps
from wsss_lib.methods.seeds import pseudo_mask
from wsss_lib.pipeline.evaluation import (
    absent_share,
    describe_sweep,
    measure_masks,
    sweep_maps,
)
from wsss_lib.pipeline.kinds import MAPS
from wsss_lib.pipeline.make import make_stages
from wsss_lib.pipeline.provenance import provenance
from wsss_lib.pipeline.runs import Run
from wsss_lib.pipeline.work import Work
from wsss_lib.recipes import Segmentation

RUNS = Path("runs/ablations")
STEM, LAST = 0, -1  # stages of the backbone
NEAR, BIAS, DEFAULT = "near identity", "bias 1", "default"


@dataclass(frozen=True)
class Variant:
    """One way to train AMN.

    Attributes:
        smoothing: epsilon.
        balanced: background and foreground weigh the same.
        stage: the one that is told the tags; ``None``: none is.
        start: the gains before training. ``DEFAULT``: weights and biases of random sign. ``NEAR``: biases 1 and weights
            of a standard deviation of 0.01, so that the features go through as they are. ``BIAS``: biases 1 and the
            default weights, so that the features keep their sign and the tags have their say.
        all_ones: whether it is told, in training and afterwards, that every class is there.
    """

    smoothing: float = 0.4
    balanced: bool = True
    stage: int | None = LAST
    start: str = DEFAULT
    all_ones: bool = False

    @property
    def ordinary(self) -> bool:
        """Whether a recipe can say it."""
        return self.start == DEFAULT and not self.all_ones


VARIANTS = {
    "main": Variant(),
    "eps 0": Variant(smoothing=0.0),
    "unbalanced": Variant(balanced=False),
    "eps 0, unbalanced": Variant(smoothing=0.0, balanced=False),
    "no LC": Variant(stage=None),
    "no LC, eps 0, unbalanced": Variant(stage=None, smoothing=0.0, balanced=False),
    "LC last, near identity": Variant(start=NEAR),
    "LC last, bias 1": Variant(start=BIAS),
    "LC stem, near identity": Variant(stage=STEM, start=NEAR),
    "LC stem, bias 1": Variant(stage=STEM, start=BIAS),
    "LC stem": Variant(stage=STEM),
    "LC last, all ones": Variant(all_ones=True),
}
HELD = ("main", "no LC")  # variants that are also measured with the softmax over the tags alone


def base_recipe(seed: int) -> Segmentation:
    """The recipe of a data seed."""
    return evidence_recipes(seed)["main"][0]


def variant_recipe(seed: int, variant: Variant) -> Segmentation:
    """The recipe of a variant, as far as a recipe can say it."""
    base = base_recipe(seed)
    amn = replace(
        base.amn,
        smoothing=variant.smoothing,
        balanced=variant.balanced,
        condition_stage=variant.stage,
    )
    return replace(base, amn=amn)


def finished_runs(folder: Path, seed: int) -> list[Path]:
    """The runs of a data seed in a folder."""
    return sorted(file.parent for file in folder.glob(f"{seed}-*/recipe.json"))


def measure_base(seed: int) -> None:
    """Has classifier, maps and seeds at hand, and measures CAM and AdvCAM, to compare with."""
    file = RUNS / f"{seed}-base.json"
    if file.exists():
        return
    recipe = base_recipe(seed)
    work = make_stages(
        recipe,
        RUNS / f"{seed}-base",
        targets=["cam", "seeds"],
        reuse=finished_runs(EVIDENCE, seed),
        progress=False,
    )
    cam = measure_maps(work, "cam")
    advcam = measure_maps(work, "advcam", cam["miou_best"])
    write_json(file, {"CAM": cam, "AdvCAM": advcam})
    print(f"seed {seed}: base measured", flush=True)


def measure_variant(seed: int, name: str) -> None:
    """Trains a variant and writes its figures."""
    file, variant = RUNS / f"{seed}-{name}.json", VARIANTS[name]
    if file.exists():
        return
    recipe = variant_recipe(seed, variant)
    work = make_stages(
        recipe,
        RUNS / f"{seed}-{name}".replace(",", "").replace(" ", "-"),
        targets=["amn_masks"] if variant.ordinary else ["seeds"],
        reuse=[RUNS / f"{seed}-base", *finished_runs(EVIDENCE, seed)],
        progress=False,
    )
    if not variant.ordinary:
        make_variant(work.of("amn"), variant)
        recipe.amn_masks.make(work.of("amn_masks"))
    cam = read_json(RUNS / f"{seed}-base.json")["CAM"]["miou_best"]
    figures = {
        **measure_maps(work, "amn", cam),
        **absent_share(work.run.folder / "labels/amn", work.tagged()),
        **measure_refined(work),
        **measure_gain(work),
    }
    if name in HELD:
        figures["held"] = measure_held(work, cam)
    write_json(file, figures)
    print(f"seed {seed}: {name} measured", flush=True)


def make_variant(work: Work, variant: Variant) -> None:
    """Trains AMN from other gains, or told other tags."""
    model = work.recipe.amn.begun(work)
    begin_gain(model, variant.start)
    work.recipe.amn.learn(work, model, told=torch.ones_like if variant.all_ones else None)


def begin_gain(model: AMN, start: str) -> None:
    """Sets the gains that training begins with; see `Variant`."""
    if start != DEFAULT:
        nn.init.ones_(model.gain.bias)
    if start == NEAR:
        nn.init.normal_(model.gain.weight, std=0.01)


def measure_maps(work: Work, source: str, cam_best: float | None = None) -> dict:
    """What the maps of a source are worth: at the recipe's threshold, at the best, at all of them."""
    photos = work.truth("maps")
    sweep = sweep_maps(work.run.folder / "maps" / source, photos)
    figures = describe_sweep(sweep, work.recipe.stages[source].threshold, photos.names)
    best = figures["miou_best"]
    keys = (
        "threshold",
        "miou",
        "threshold_best",
        "miou_best",
        "miou_best_per_image",
        "best_threshold_sd",
        "precision",
        "recall",
    )
    return {
        **{key: figures[key] for key in keys},
        "band": sweep.band(best if cam_best is None else cam_best),
        "width": sweep.band(best - 0.03),
        "curve": figures["curve"][::10],  # 0, 0.05, ..., 1
    }


def measure_refined(work: Work) -> dict:
    """MIoU after the CRF, at the recipe's threshold and at the best one."""
    photos, folder = work.truth("maps"), work.run.folder
    best = sweep_maps(folder / "maps/amn", photos).best()[0]
    work.of("amn_best").write_masks(
        "amn", partial(pseudo_mask, threshold=best, crf=work.recipe.crf)
    )
    return {
        "miou_crf": measure_masks(folder / "masks/amn_masks", photos)["miou"],
        "miou_crf_best": measure_masks(folder / "masks/amn_best", photos)["miou"],
    }


def measure_held(work: Work, cam_best: float) -> dict:
    """What the maps are worth if the softmax is taken over the background and the tagged classes alone."""
    model, stage = trained_network(work), work.recipe.amn
    held = replace(work, run=Run(f"{work.run.folder}-held"), name="amn")
    for batch in stage.batches(held, [MAPS]):
        probability_BLhw = stage.look(held, model, batch)
        allowed_BL11 = F.pad(batch.tag_BK, (1, 0), value=1)[:, :, None, None]
        held_BLhw = probability_BLhw * allowed_BL11
        held_BLhw = held_BLhw / held_BLhw.sum(dim=1, keepdim=True)
        held.save_maps(batch, amn_maps(held_BLhw, batch.tag_BK))
    work.recipe.amn_masks.make(held.of("amn_masks"))
    return {**measure_maps(held, "amn", cam_best), **measure_refined(held)}


def trained_network(work: Work) -> AMN:
    """AMN after its training."""
    model = work.recipe.amn.network(work)
    return work.of("amn").train(model, None, work.tagged())  # trained already: this loads it


def measure_gain(work: Work) -> dict:
    """How far the tags can move a gain: the mean size of its weights, beside that of its biases."""
    model = trained_network(work)
    if model.condition_stage is None:
        return {}
    return {
        "gain_weight": float(model.gain.weight.detach().abs().mean()),
        "gain_bias": float(model.gain.bias.detach().abs().mean()),
    }


def table(figures: dict[int, dict]) -> str:
    """The main figures, one line a variant, the data seeds side by side, in percent."""
    keys = ("miou", "miou_best", "miou_crf", "band", "width", "absent_foreground")
    figures = {
        seed: {**each, **{f"{name}, held": each[name]["held"] for name in HELD}}
        for seed, each in figures.items()
    }
    lines = [f"{'':26}" + "".join(f"{key:>24}" for key in keys)]
    for name in next(iter(figures.values())):
        cells = [
            " ".join(f"{100 * each[name].get(key, float('nan')):5.1f}" for each in figures.values())
            for key in keys
        ]
        lines.append(f"{name:26}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    """Measures every variant on every seed, two at a time, and writes `ablations.json`."""
    if len(sys.argv) == 3:
        return measure_base(int(sys.argv[2]))
    if len(sys.argv) == 4:
        return measure_variant(int(sys.argv[2]), sys.argv[3])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def in_process(job: tuple[str, ...]) -> None:
        command = [sys.executable, __file__, "--seed", *job]
        subprocess.run(command, env=environment, check=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(in_process, [(str(seed),) for seed in SEEDS]))
        list(pool.map(in_process, [(str(seed), name) for seed in SEEDS for name in VARIANTS]))
    figures = {seed: collected(seed) for seed in SEEDS}
    made = {key: value for key, value in provenance().items() if key != "command"}
    write_json(RESULTS / "ablations.json", {"command": "make ablations", **made, "seeds": figures})
    print(table(figures))


def collected(seed: int) -> dict:
    """All figures of a data seed."""
    variants = {name: read_json(RUNS / f"{seed}-{name}.json") for name in VARIANTS}
    return {**read_json(RUNS / f"{seed}-base.json"), **variants}


if __name__ == "__main__":
    main()
