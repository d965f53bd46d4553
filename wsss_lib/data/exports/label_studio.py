"""Label Studio: tasks with brush masks as pre-annotations, and the labeling configuration that fits them.

A mask travels as the bits of a packed run-length code of the RGBA values of its pixels, row by row (the package rle-pack of
thi.ng/umbrella, which the brush of Label Studio uses): 32 bits say how many values there are, 5 bits their width in bits less
one, and four times 4 bits the widths of counts less one. Then, for each run, come a bit that says whether one value is
repeated, 2 bits that choose the width of the count, the count less one, and the value, or as many values as counted.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from wsss_lib.data.exports.masked import Masked, bring_photos
from wsss_lib.data.layout import VOID, voc_palette

FROM, TO = "brush", "image"
WIDTHS = (3, 4, 8, 16)  # bits of a count
LOCAL_FILES = "/data/local-files/?d="


def write(
    masked: Masked, to: Path, root: Path, *, photos: bool = False, prefix: str | None = None
) -> list[str]:
    """Writes ``tasks.json`` and ``config.xml``, and ``images/`` if photos are wanted.

    Args:
        masked: the photos and their masks.
        to: a folder.
        root: what the folder will be called.
        photos: copy the photos, as ``<id>.jpg``.
        prefix: of the address of a photo, before where it lies; None: that of local files, seen from the folder above theirs.

    Returns:
        What was written, and what to do with it, in words.
    """
    folder = masked.folder
    prefix = (
        f"{LOCAL_FILES}{quote('images' if photos else folder.name)}/" if prefix is None else prefix
    )
    tasks, void = [], 0
    for id, label_HW in masked.labels():
        place = f"{id}.jpg" if photos else masked.place(id)
        result = [
            region(masked.names[k], label_HW == k) for k in np.unique(label_HW) if 0 < k < VOID
        ]
        prediction = {"model_version": f"wsss {masked.title}", "result": result}
        tasks.append({"data": {TO: prefix + quote(place)}, "predictions": [prediction]})
        void += int((label_HW == VOID).sum())
    (to / "tasks.json").write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")
    (to / "config.xml").write_text(configuration(masked.names), encoding="utf-8")
    said = [f"tasks.json: {len(tasks)} tasks to import; config.xml: the labeling configuration"]
    if void:
        said.append(f"{void} pixels are void and in no region")
    if photos:
        bring_photos(masked, masked.photos, to / "images", copy=True)
    if prefix.startswith(LOCAL_FILES):
        above = root if photos else folder.parent
        said.append(
            "start Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT set to {above}, and add the photos as its local storage"
        )
    return said


def region(name: str, mask_HW: np.ndarray) -> dict:
    """One class of a photo as Label Studio has it."""
    height, width = mask_HW.shape
    return {
        "id": f"wsss-{name}",
        "type": "brushlabels",
        "from_name": FROM,
        "to_name": TO,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush_rle(mask_HW), "brushlabels": [name]},
    }


def brush_rle(mask_HW: np.ndarray) -> list[int]:
    """The bytes of a mask in the code of the brush; a pixel is four values of 255, or of 0."""
    pixel_N = np.asarray(mask_HW, dtype=np.uint8).ravel()
    starts = np.flatnonzero(np.diff(pixel_N, prepend=2))
    lengths = 4 * np.diff(starts, append=pixel_N.size)
    bits = [f"{4 * pixel_N.size:032b}", f"{8 - 1:05b}", *(f"{width - 1:04b}" for width in WIDTHS)]
    for start, length in zip(starts.tolist(), lengths.tolist()):
        value = f"{255 * int(pixel_N[start]):08b}"
        while length:
            count = min(length, 2 ** WIDTHS[-1])
            choice = next(i for i, width in enumerate(WIDTHS) if count <= 2**width)
            bits.append(f"1{choice:02b}{count - 1:0{WIDTHS[choice]}b}{value}")
            length -= count
    code = "".join(bits)
    code += "0" * (-len(code) % 8)
    return list(int(code, 2).to_bytes(len(code) // 8, "big"))


def configuration(names: list[str]) -> str:
    """The labeling configuration: the classes, in the colours of VOC."""
    colours = [f"#{bytes(colour.tolist()).hex()}" for colour in voc_palette()]
    labels = "\n".join(
        f"    <Label value={quoteattr(name)} background={quoteattr(colours[k])}/>"
        for k, name in enumerate(names)
        if k
    )
    image = f'  <Image name="{TO}" value="${TO}" zoom="true" zoomControl="true"/>'
    return f'<View>\n{image}\n  <BrushLabels name="{FROM}" toName="{TO}">\n{labels}\n  </BrushLabels>\n</View>\n'
