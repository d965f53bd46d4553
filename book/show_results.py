"""Shows what `make evidence` has measured: the table in the README and the picture above it.

    .venv/bin/python book/show_results.py

The table is made from `book/results/toy.json`, the picture from the run of the first data seed.
"""

import json
from pathlib import Path

from wsss_lib.data import layout
from wsss_lib.data.files import atomic
from wsss_lib.data.photos import Photos
from wsss_lib.pipeline import plots
from wsss_lib.pipeline.pictures import choose, map_picture, mask_picture
from wsss_lib.pipeline.runs import Run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "book/results/toy.json"
PICTURE = ROOT / "book/images/from-tags-to-masks.webp"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
EXAMPLES = 4


def results_table(results: dict) -> str:
    """The main figures as a Markdown table: one row a stage, one column a data seed."""
    seeds = results["seeds"]
    lines = [
        "| | " + " | ".join(f"data seed {seed}" for seed in seeds) + " |",
        "|---|" + "---:|" * len(seeds),
    ]
    for name, value in rows().items():
        cells = (f"{100 * value(figures):.1f}" for figures in seeds.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rows() -> dict:
    """What each row of the table shows."""
    return {
        "classifier, mean average precision on val": lambda f: f["main"]["classifier"]["val_map"],
        "CAM, mIoU on train": lambda f: f["main"]["cam"]["miou"],
        "AdvCAM": lambda f: f["main"]["advcam"]["miou"],
        "AMN": lambda f: f["main"]["amn"]["miou"],
        "CAM + CRF": lambda f: f["main"]["cam_masks"]["miou"],
        "AdvCAM + CRF": lambda f: f["main"]["advcam_masks"]["miou"],
        "AMN + CRF": lambda f: f["main"]["amn_masks"]["miou"],
        "segmentation network from CAM, mIoU on val": lambda f: f["segmenter from CAM"][
            "segmenter"
        ]["val_miou"],
        "segmentation network from AdvCAM": lambda f: f["segmenter from AdvCAM"]["segmenter"][
            "val_miou"
        ],
        "segmentation network from AMN": lambda f: f["main"]["segmenter"]["val_miou"],
        "segmentation network from true masks": lambda f: f["main"]["supervised"]["val_miou"],
    }


def stamp(text: str, table: str) -> str:
    """The text with the table between the two marks."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def draw_picture(run: Run, file: Path) -> None:
    """Some training photos at every stage."""
    photos = Photos(run.recipe["data"]["root"], run.recipe["data"]["train"]).tagged()
    colours = plots.palette(len(photos.names))
    columns = {
        "CAM": (map_picture, run.folder / "maps/cam"),
        "AdvCAM": (map_picture, run.folder / "maps/advcam"),
        "seed": (mask_picture, run.folder / "masks/seeds"),
        "AMN": (map_picture, run.folder / "maps/amn"),
        "pseudo-mask": (mask_picture, run.folder / "masks/amn_masks"),
        "truth": (mask_picture, photos.root / layout.MASKS),
    }
    rows = []
    for index in choose(photos, [run.folder / "maps/amn"], EXAMPLES):
        image, id = photos.image(index), photos.ids[index]
        rows.append([plots.picture(image)])
        for draw, folder in columns.values():
            ending = ".npz" if draw is map_picture else ".png"
            rows[-1].append(draw(folder / f"{id}{ending}", image, colours))
    figure = plots.example_grid(rows, ["photo", *columns])
    with atomic(file) as aside:
        figure.savefig(aside, format="webp", dpi=120, pil_kwargs={"quality": 85})


def main() -> None:
    """Stamps the README and draws the picture."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    readme = ROOT / "README.md"
    readme.write_text(
        stamp(readme.read_text(encoding="utf-8"), results_table(results)), encoding="utf-8"
    )
    first = next(iter(results["seeds"]))
    draw_picture(Run(ROOT / f"runs/evidence/{first}-main"), PICTURE)


if __name__ == "__main__":
    main()
