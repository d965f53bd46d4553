"""Measures what the book and the README say of the embedded dataset, and writes `book/results/`.

    make evidence        (= .venv/bin/python book/evidence.py; unattended, two CPU cores)

Three data seeds that nothing was tuned on and no definition was chosen on, two at a time. For each
one: the whole run; AMN with each of its parts taken away; segmentation networks from other
pseudo-masks; and climbing to three times the usual number of steps. Every number is written for
every seed: nothing is averaged away.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from wsss_lib.data.files import read_json, write_json
from wsss_lib.data.maps import upsampled
from wsss_lib.data.photos import MaskedPhotos
from wsss_lib.learning.backbones import fold_norms
from wsss_lib.learning.metrics import ThresholdSweep
from wsss_lib.methods.advcam import climb
from wsss_lib.methods.cam import cam, max_normalised
from wsss_lib.pipeline.evaluation import with_truth
from wsss_lib.pipeline.make import run_stages
from wsss_lib.pipeline.provenance import provenance
from wsss_lib.pipeline.stages.classifier import learned_classifier
from wsss_lib.pipeline.work import Work
from wsss_lib.recipes import Segmentation, toy

SEEDS = (21, 22, 23)
RUNS = Path("runs/evidence")
RESULTS = Path(__file__).parent / "results"
CLIMBED_PHOTOS = 60
LEFT_OUT = ("curve", "iou", "val_iou")  # long, or of one class only


def recipes(seed: int) -> dict[str, tuple[Segmentation, list[str]]]:
    """The runs of one data seed, each with the stages it is for."""
    main = toy()
    data = replace(main.data, root=f"data/evidence-{seed}", draw_seed=seed)
    main = replace(main, data=data, seed=seed)

    def amn(**changes) -> Segmentation:
        return replace(main, amn=replace(main.amn, **changes))

    def segmenter(source: str) -> Segmentation:
        return replace(main, segmenter=replace(main.segmenter, source=source))

    cam_seeds = replace(main, seeds=replace(main.seeds, source="cam"))
    masks, nets = ["cam", "amn_masks"], ["segmenter"]  # CAM, to compare thresholds with
    return {
        "main": (main, list(main.stages)),
        "segmenter from CAM": (segmenter("cam_masks"), nets),
        "segmenter from AdvCAM": (segmenter("advcam_masks"), nets),
        "AMN on CAM seeds": (cam_seeds, nets),
        "AMN without LC": (amn(condition_stage=None), masks),
        "AMN without PCL": (amn(smoothing=0.0, balanced=False), masks),
        "AMN without LC and PCL": (
            amn(condition_stage=None, smoothing=0.0, balanced=False),
            masks,
        ),
    }


def measure_seed(seed: int) -> None:
    """Makes all runs of a data seed and writes their figures."""
    figures = {}
    main = RUNS / f"{seed}-main"
    for name, (recipe, targets) in recipes(seed).items():
        folder = RUNS / f"{seed}-{name}".replace(" ", "-")
        reuse = [] if folder == main else [main]
        run = run_stages(recipe, folder, targets=targets, reuse=reuse, progress=False)
        figures[name] = {
            stage: {key: value for key, value in values.items() if key not in LEFT_OUT}
            for stage, values in run.metrics().items()
        }
        if name == "main":
            curves = folder / "climbing.json"  # inside the run, so that it goes when the run goes
            if not curves.exists():
                write_json(curves, climbing_curves(Work(recipe, run, progress=False)))
            figures["climbing"] = read_json(curves)
        print(f"seed {seed}: {name} measured", flush=True)
    write_json(RUNS / f"{seed}.json", figures)


def climbing_curves(work: Work) -> dict:
    """AdvCAM's mIoU and noise after every step, to three times the usual number, by setting."""
    photos = with_truth(work.photos("train"))
    photos = photos.subset(range(CLIMBED_PHOTOS)).with_masks(photos.folder)
    usual, steps = work.recipe.advcam, 3 * work.recipe.advcam.steps
    settings = {
        "regularized": usual,
        "lambda 0": replace(usual, regularization=0.0),
        "tau 0.5": replace(usual, mask_threshold=0.5),
        "lambda x3": replace(usual, regularization=3 * usual.regularization),
        "xi / 2": replace(usual, step_size=usual.step_size / 2),
    }
    model = fold_norms(learned_classifier(work))
    tags = photos.tags_NK.float()
    image = work.images(photos, list(range(len(photos))))
    photo_P, class_P = tags.nonzero(as_tuple=True)
    start = sweep(cam(model, image, tags), photo_P, class_P, photos)
    fixed = work.recipe.cam.threshold
    curves = {}
    for name, setting in settings.items():
        maps = [[] for _ in range(steps)]
        for part in torch.arange(len(photo_P)).split(32):
            trace = []
            pairs = photo_P[part], class_P[part]
            climb(
                model, image[pairs[0]], pairs[1], tags[pairs[0]], setting, steps=steps, trace=trace
            )
            total = torch.stack([step.map_Phw for step in trace]).cumsum(dim=0)
            for t, map_Phw in enumerate(total):
                maps[t].append(max_normalised(map_Phw))
        sweeps = [sweep(torch.cat(each), photo_P, class_P, photos) for each in maps]
        curves[name] = {
            "miou_best": [each.best()[1] for each in sweeps],
            "miou_at_cam_threshold": [each.at(fixed) for each in sweeps],
            "noise_at_cam_threshold": [noise(each, fixed) for each in sweeps],
        }
    return {"photos": len(photos), "cam": {"miou_best": start.best()[1], "miou": start.at(fixed)},
            "steps": list(range(1, steps + 1)), **curves}  # fmt: skip


def sweep(map_Phw, photo_P, class_P, photos: MaskedPhotos) -> ThresholdSweep:
    """All thresholds of some maps."""
    result = ThresholdSweep(len(photos.names))
    for i in range(len(photos)):
        truth_HW = photos.mask(i)
        own = photo_P == i
        result.add(upsampled(map_Phw[own], tuple(truth_HW.shape)), class_P[own], truth_HW)
    return result


def noise(result: ThresholdSweep, threshold: float) -> float:
    """The share of the predicted foreground that is wrong."""
    confusion = result.confusion(round(threshold * result.levels))
    predicted = confusion[:, 1:].sum()
    return float(1 - confusion.diagonal()[1:].sum() / predicted)


def table(figures: dict[int, dict]) -> str:
    """The figures behind the claims, one line each, one column a seed."""
    lines = [f"{'':44}" + "".join(f"{f'seed {seed}':>9}" for seed in figures)]
    for name, value in claims().items():
        row = "".join(f"{value(each):9.2f}" for each in figures.values())
        lines.append(f"{name:44}{row}")
    return "\n".join(lines)


def claims() -> dict:
    """What is said of the method, as numbers: mIoU points, or percent."""

    def miou(figures, stage, run="main"):
        return 100 * figures[run][stage]["miou"]

    def refined(figures, source, run="main"):
        return 100 * figures[run][f"{source}_masks"]["miou"]

    def val(figures, run="main", network="segmenter"):
        return 100 * figures[run][network]["val_miou"]

    def drop(figures, name, measure, peak=max):
        curve = figures["climbing"][name][measure]
        return 100 * (peak(curve) - curve[-1])

    def absent(figures, run, measure="absent_foreground"):
        return 100 * figures[run]["amn"][measure]

    def first(curve):
        return curve[0]

    on_cam, plain = "AMN on CAM seeds", "AMN without LC"
    return {
        "classifier: val mAP": lambda f: 100 * f["main"]["classifier"]["val_map"],
        "CAM": lambda f: miou(f, "cam"),
        "AdvCAM": lambda f: miou(f, "advcam"),
        "AMN": lambda f: miou(f, "amn"),
        "AMN on CAM seeds": lambda f: miou(f, "amn", on_cam),
        "CAM + CRF": lambda f: refined(f, "cam"),
        "AdvCAM + CRF": lambda f: refined(f, "advcam"),
        "AMN + CRF": lambda f: refined(f, "amn"),
        "AMN on CAM seeds + CRF": lambda f: refined(f, "amn", on_cam),
        "AdvCAM - CAM": lambda f: miou(f, "advcam") - miou(f, "cam"),
        "AdvCAM - CAM, after CRF": lambda f: refined(f, "advcam") - refined(f, "cam"),
        "CRF on CAM": lambda f: refined(f, "cam") - miou(f, "cam"),
        "AMN - CAM": lambda f: miou(f, "amn") - miou(f, "cam"),
        "AMN - CAM, after CRF": lambda f: refined(f, "amn") - refined(f, "cam"),
        "AMN on CAM seeds - CAM": lambda f: miou(f, "amn", on_cam) - miou(f, "cam"),
        "AMN on CAM seeds - CAM, after CRF": lambda f: (
            refined(f, "amn", on_cam) - refined(f, "cam")
        ),
        "AMN: thresholds at or above CAM's best (%)": lambda f: 100 * f["main"]["amn"]["band"],
        "foreground on absent classes with LC (%)": lambda f: absent(f, "main"),
        "foreground on absent classes without (%)": lambda f: absent(f, plain),
        "the same as a share of all pixels (%)": lambda f: absent(f, plain, "absent_of_all"),
        "AMN - AMN without LC": lambda f: miou(f, "amn") - miou(f, "amn", plain),
        "AMN - AMN without PCL": lambda f: miou(f, "amn") - miou(f, "amn", "AMN without PCL"),
        "segmenter, val, from CAM": lambda f: val(f, "segmenter from CAM"),
        "segmenter, val, from AdvCAM": lambda f: val(f, "segmenter from AdvCAM"),
        "segmenter, val, from AMN on CAM seeds": lambda f: val(f, on_cam),
        "segmenter, val, from AMN on AdvCAM seeds": lambda f: val(f),
        "segmenter, val, from true masks": lambda f: val(f, network="supervised"),
        "segmenter from AdvCAM - from CAM": lambda f: (
            val(f, "segmenter from AdvCAM") - val(f, "segmenter from CAM")
        ),
        "lambda 0: fall from peak, T x 3": lambda f: drop(f, "lambda 0", "miou_best"),
        "lambda 0: fall at CAM's threshold": lambda f: drop(
            f, "lambda 0", "miou_at_cam_threshold", first
        ),
        "lambda: fall from peak, T x 3": lambda f: drop(f, "regularized", "miou_best"),
        "lambda: fall at CAM's threshold": lambda f: drop(
            f, "regularized", "miou_at_cam_threshold", first
        ),
        "peak with lambda - peak without": lambda f: (
            100
            * (
                max(f["climbing"]["regularized"]["miou_best"])
                - max(f["climbing"]["lambda 0"]["miou_best"])
            )
        ),
    }


def main() -> None:
    """Measures all seeds, two at a time, and writes `toy.json`."""
    if len(sys.argv) == 3 and sys.argv[1] == "--seed":
        return measure_seed(int(sys.argv[2]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def in_process(seed: int) -> None:
        command = [sys.executable, __file__, "--seed", str(seed)]
        subprocess.run(command, env=environment, check=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(in_process, SEEDS))
    figures = {seed: read_json(RUNS / f"{seed}.json") for seed in SEEDS}
    made = {key: value for key, value in provenance().items() if key != "command"}
    write_json(RESULTS / "toy.json", {"command": "make evidence", **made, "seeds": figures})
    (RESULTS / "toy.txt").write_text(table(figures) + "\n")
    print(table(figures))


if __name__ == "__main__":
    main()
