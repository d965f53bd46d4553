"""MMSegmentation 1.x: ``img_dir`` and ``ann_dir`` of each part, and a piece of configuration."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from wsss_lib.data.exports.masked import Masked, bring_photos
from wsss_lib.data.layout import VOID, voc_palette

CONFIG = """# The dataset of a configuration of MMSegmentation 1.x: name this file in its _base_, and add pipelines.
dataset_type = "BaseSegDataset"
data_root = {root!r}
metainfo = dict(
    classes={classes!r},
    palette={palette!r},
)
{loaders}"""
LOADER = """{part}_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        data_prefix=dict(img_path="img_dir/{part}", seg_map_path="ann_dir/{part}"),
        img_suffix=".jpg",
        seg_map_suffix=".png",
        ignore_index={void},
        reduce_zero_label=False,
    ),
)
"""


def write(masked: Masked, to: Path, root: Path, *, photos: bool = False) -> list[str]:
    """Writes ``img_dir/<part>``, ``ann_dir/<part>`` (greyscale PNG with the indices, 255 ignored) and ``dataset.py``.

    Args:
        masked: the photos and their masks.
        to: a folder.
        root: what the folder will be called.
        photos: copy the photos rather than link to them.

    Returns:
        What was written, in words.
    """
    ids: dict[str, list[str]] = {"train": [], "val": []}
    for id, label_HW in masked.labels():
        part = masked.part(id)
        file = to / "ann_dir" / part / f"{id}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(label_HW).save(file)
        ids[part].append(id)
    parts = {part: own for part, own in ids.items() if own}
    for part, own in parts.items():
        bring_photos(masked, own, to / "img_dir" / part, photos)
    config = CONFIG.format(
        root=str(root),
        classes=tuple(masked.names),
        palette=voc_palette()[: len(masked.names)].tolist(),
        loaders="".join(LOADER.format(part=part, void=VOID) for part in parts),
    )
    (to / "dataset.py").write_text(config, encoding="utf-8")
    counts = ", ".join(f"{part} {len(own)}" for part, own in parts.items())
    return [f"img_dir and ann_dir: {counts}; dataset.py: a piece of configuration"]
