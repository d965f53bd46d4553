"""The order of the stages, and how much of a run is already done.

A stage is done once for one *fingerprint*: its part of the recipe, its photos, and the fingerprints
of the stages it reads from. So a change of one setting makes again what depends on it, and nothing
else; and another run can take over (``reuse``) whatever it has in common with this one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from wsss_lib import __version__
from wsss_lib.data.photos import Photos
from wsss_lib.pipeline import stages
from wsss_lib.pipeline.evaluation import evaluate_run, with_truth
from wsss_lib.pipeline.report import write_report
from wsss_lib.pipeline.runs import Run, fingerprint, full_disk_is_said
from wsss_lib.pipeline.settings import Recipe
from wsss_lib.pipeline.work import Work


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes:
        make: does the work; see `wsss_lib.pipeline.stages`.
        needs: the stages whose files it reads, given the recipe.
        settings: the part of the recipe that decides what it makes.
        outputs: the files and folders it makes.
    """

    make: Callable[[Work], dict]
    needs: Callable[[Recipe], Sequence[str]]
    settings: Callable[[Recipe], object]
    outputs: Sequence[str]


def network(recipe: Recipe, stage: object) -> list:
    """The settings of a stage that trains a network."""
    return [recipe.backbone, recipe.weights, recipe.seed, stage]


STAGES = {
    "classifier": Stage(
        stages.make_classifier,
        lambda recipe: [],
        lambda recipe: network(recipe, recipe.classifier),
        ["checkpoints/classifier", "checkpoints/classifier.safetensors"],
    ),
    "cam": Stage(
        stages.make_cam, lambda recipe: ["classifier"], lambda recipe: recipe.cam, ["maps/cam"]
    ),
    "advcam": Stage(
        stages.make_advcam,
        lambda recipe: ["classifier"],
        lambda recipe: [recipe.advcam, recipe.cam.output_stride, recipe.cam.dilated],
        ["maps/advcam"],
    ),
    "seeds": Stage(
        stages.make_seeds,
        lambda recipe: [recipe.seeds.source],
        lambda recipe: [getattr(recipe.seeds, recipe.seeds.source), recipe.crf],
        ["seeds"],
    ),
    "amn": Stage(
        stages.make_amn,
        lambda recipe: ["classifier", "seeds"] if recipe.amn.start == "classifier" else ["seeds"],
        lambda recipe: network(recipe, recipe.amn),
        ["checkpoints/amn", "checkpoints/amn.safetensors", "amn_labels", "maps/amn"],
    ),
    "pseudo_masks": Stage(
        stages.make_pseudo_masks,
        lambda recipe: recipe.pseudo_masks.sources,
        lambda recipe: [recipe.pseudo_masks, recipe.thresholds, recipe.crf],
        ["pseudo_masks"],
    ),
    "segmenter": Stage(
        stages.make_segmenter,
        lambda recipe: ["pseudo_masks"],
        lambda recipe: network(recipe, recipe.segmenter),
        ["checkpoints/segmenter", "checkpoints/segmenter.safetensors", "predictions/segmenter"],
    ),
    "supervised": Stage(
        stages.make_supervised,
        lambda recipe: [],
        lambda recipe: network(recipe, replace(recipe.segmenter, source="cam")),  # reads none
        ["checkpoints/supervised", "checkpoints/supervised.safetensors", "predictions/supervised"],
    ),
}


def run_stages(
    recipe: Recipe,
    folder: str | Path,
    *,
    targets: Sequence[str] = tuple(STAGES),
    reuse: Sequence[str | Path] = (),
    progress: bool = True,
) -> Run:
    """Runs the target stages and all that they need, evaluates what there is, and writes the report.

    Takes what `make_stages` takes, and raises what it raises.
    """
    run, stages = make_stages(recipe, folder, targets=targets, reuse=reuse, progress=progress)
    if PartialState().is_main_process:
        with full_disk_is_said(run.folder):
            evaluate_run(Work(recipe, run, progress), stages)
            write_report(run.folder)
    PartialState().wait_for_everyone()
    return run


def make_stages(
    recipe: Recipe,
    folder: str | Path,
    *,
    targets: Sequence[str] = tuple(STAGES),
    reuse: Sequence[str | Path] = (),
    progress: bool = True,
) -> tuple[Run, list[str]]:
    """Runs the target stages and all that they need, and leaves their evaluation to the caller.

    Args:
        recipe: what to do.
        folder: of the run; made, or gone on with.
        targets: names of `STAGES`.
        reuse: folders of runs from which finished stages may be taken over.
        progress: show progress bars.

    Returns:
        The run, and the names of the stages that are done.

    Raises:
        InputError: something given cannot be used; nothing half-written is left.
    """
    join_processes()
    stages.draw_data(recipe.data, progress)
    photos = photos_fingerprint(recipe)  # unusable photos are found before anything is written
    others = [Run(other) for other in reuse]
    run = None
    if PartialState().is_main_process:
        run = Run.create(folder, recipe, seed=recipe.seed)
    PartialState().wait_for_everyone()
    work = Work(recipe, run or Run(folder), progress)
    keys, whole = {}, set()
    with full_disk_is_said(work.run.folder):
        for name in in_order(recipe, targets):
            if name == "supervised" and with_truth(work.photos("train")) is None:
                continue
            upstream = [keys[need] for need in STAGES[name].needs(recipe)]
            keys[name] = fingerprint(name, STAGES[name].settings(recipe), photos, *upstream)
            run_stage(work, name, keys[name], others, whole)
    return work.run, list(keys)


def join_processes() -> None:
    """Has the processes that torchrun started, if it did, work together, on GPUs or on CPUs."""
    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    PartialState(cpu=not gpu)  # without a GPU it would take each process for the only one


def run_stage(work: Work, name: str, key: str, others: Sequence[Run], whole: set[str]) -> None:
    """Runs one stage, unless this run or another one has done it under the same fingerprint.

    The stages it reads from, if an earlier process made them, first go over their files again and
    make what was damaged since; ``whole`` are those that need not.
    """
    stage, run = STAGES[name], work.run
    done = False
    if PartialState().is_main_process:
        done = run.fresh(name, key) or any(run.reuse(other, name, key) for other in others)
    if broadcast_object_list([done])[0]:
        return
    for need in set(stage.needs(work.recipe)) - whole - {"classifier"}:  # it is one file
        STAGES[need].make(work)
        whole.add(need)
    if PartialState().is_main_process:
        with run.stage(name, key, stage.outputs) as measured:
            PartialState().wait_for_everyone()  # until files of an older recipe are gone
            measured.update(stage.make(work))
    else:
        PartialState().wait_for_everyone()
        stage.make(work)
    whole.add(name)


def in_order(recipe: Recipe, targets: Sequence[str]) -> list[str]:
    """The targets and all that they need, in the order of `STAGES`."""
    wanted, waiting = set(), list(targets)
    while waiting:
        name = waiting.pop()
        if name == "supervised" and not recipe.segmenter.supervised:
            continue
        wanted.add(name)
        waiting.extend(STAGES[name].needs(recipe))
    return [name for name in STAGES if name in wanted]


def photos_fingerprint(recipe: Recipe) -> str:
    """Stands for the photos of a run: where they are, which they are, and their tags."""
    data = recipe.data
    lists = [Photos(data.root, split) for split in (data.train, data.val)]
    tags = [[photos.names, photos.ids, photos.tags_NK] for photos in lists]
    return fingerprint(__version__, data, tags)
