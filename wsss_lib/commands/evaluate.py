"""``wsss evaluate FOLDER``: compares maps or masks with the true masks."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from wsss_lib.commands.options import parsed
from wsss_lib.data.layout import InputError
from wsss_lib.data.limits import refuse_outside


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Compares a folder of maps or masks with the true masks."""

    folder: tyro.conf.Positional[Path]
    """Holds <id>.npz (maps) or <id>.png (masks)."""
    data: Path
    """The dataset, in the one layout."""
    split: str = "train"
    """The photos to compare."""
    threshold: float | None = None
    """For maps: the mIoU at this threshold too, besides the best one."""

    def __post_init__(self) -> None:
        refuse_outside(self, "threshold", least=0, most=1)


def evaluate(arguments: list[str]) -> None:
    """``wsss evaluate FOLDER``."""
    asked = parsed(Evaluation, arguments, "evaluate")
    from wsss_lib.pipeline import ranks
    from wsss_lib.pipeline.evaluation import describe_sweep, measure_masks, sweep_maps, truth_of

    ranks.join()
    truth, ending = truth_of(asked.data, asked.split), ending_in(asked.folder)
    photos = truth.having(asked.folder, ending)
    if not photos.ids:
        raise InputError(
            f"{asked.folder} holds no {ending} of a photo of the split {asked.split} that has a true mask; an id is "
            f"{truth.ids[0]}"
        )
    say = print if ranks.is_main() else lambda line: None
    if len(photos) < len(truth):
        say(
            f"measured on {len(photos)} of {len(truth)} photos of {asked.split} with a true mask; of the others "
            f"{asked.folder} has no {ending}"
        )
    if ending == ".npz":
        sweep = sweep_maps(asked.folder, photos)
        threshold = sweep.best()[0] if asked.threshold is None else asked.threshold
        figures = describe_sweep(sweep, threshold, photos.names)
        best, at = 100 * figures["miou_best"], figures["threshold_best"]
        say(f"best mIoU {best:.2f} at threshold {at:.3f}")
        if asked.threshold is not None:
            say(f"mIoU {100 * figures['miou']:.2f} at threshold {asked.threshold}")
    else:
        figures = measure_masks(asked.folder, photos)
        miou, unsure = 100 * figures["miou"], 100 * figures["unsure"]
        say(f"mIoU {miou:.2f}, unsure {unsure:.1f} % of the pixels")
    for name, value in figures["iou"].items():
        say(f"  {name:20} {100 * value:6.2f}")


def ending_in(folder: Path) -> str:
    """The ending of the maps, or else of the masks, in a folder.

    Raises:
        InputError: it holds neither.
    """
    there = {file.suffix for file in folder.glob("*.*")}
    for ending in (".npz", ".png"):
        if ending in there:
            return ending
    raise InputError(f"{folder} holds neither maps (.npz) nor masks (.png)")
