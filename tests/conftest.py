"""What many tests share: a tiny dataset in the one layout, drawn by hand."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from wsss_lib.data import annotations, layout

NAMES = ["background", "apple", "leaf", "plum"]
COLOURS = {"apple": (200, 40, 40), "leaf": (50, 160, 60), "plum": (70, 50, 170)}
SIZES_HW = [(48, 64), (64, 48), (56, 56), (40, 60)]
TRAIN = [["apple"], ["leaf"], ["plum"], ["apple", "leaf"], ["plum"], ["apple"], ["leaf"], ["plum"]]
VAL = [["apple"], ["leaf"], ["plum"], ["leaf", "plum"]]


def draw(root: Path, id: str, objects: list[str], number: int) -> None:
    """One photo: a coloured rectangle per object on a noisy ground, edged by a line of void."""
    H, W = SIZES_HW[number % len(SIZES_HW)]
    image = np.random.default_rng(number).integers(110, 150, (H, W, 3), dtype=np.uint8)
    mask = np.zeros((H, W), dtype=np.uint8)
    boxes = []
    for place, name in enumerate(objects):
        top, left = 4 + number % 5, 3 + place * W // 2
        bottom, right = top + H // 2, left + W // 2 - 6
        image[top:bottom, left:right] = COLOURS[name]
        mask[top:bottom, left:right] = layout.VOID
        mask[top + 1 : bottom - 1, left + 1 : right - 1] = NAMES.index(name)
        boxes.append((name, (left + 1, top + 1, right, bottom)))
    Image.fromarray(image).save(root / layout.PHOTOS / f"{id}.jpg", quality=95, subsampling=0)
    layout.write_mask(root / layout.MASKS / f"{id}.png", mask)
    file = root / layout.ANNOTATIONS / f"{id}.xml"
    annotations.write_annotation(file, id=id, size_HW=(H, W), objects=boxes)


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 photos in train, 4 in val, of four sizes and three classes; read only."""
    root = tmp_path_factory.mktemp("tiny")
    for folder in (layout.PHOTOS, layout.MASKS, layout.ANNOTATIONS):
        (root / folder).mkdir()
    for split, photos in (("train", TRAIN), ("val", VAL)):
        ids = [f"{split}_{number}" for number in range(len(photos))]
        for number, (id, objects) in enumerate(zip(ids, photos, strict=True)):
            draw(root, id, objects, number + (split == "val"))
        layout.write_lines(root / layout.SPLITS / f"{split}.txt", ids)
    layout.write_lines(root / layout.LABELS, NAMES)
    return root


@pytest.fixture
def own_root(tiny_root: Path, tmp_path: Path) -> Path:
    """A copy of ``tiny_root`` that a test may damage; without the index that reading has made."""
    return Path(
        shutil.copytree(
            tiny_root, tmp_path / "dataset", ignore=shutil.ignore_patterns("train.csv", "val.csv")
        )
    )


def data_script(name: str) -> ModuleType:
    """``data_scripts/<name>.py`` as a module."""
    file = Path(__file__).parents[1] / "data_scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def prepare_voc() -> ModuleType:
    return data_script("prepare_voc")


@pytest.fixture(scope="session")
def prepare_folder() -> ModuleType:
    return data_script("prepare_folder")


@pytest.fixture
def same_inputs(monkeypatch):
    """Checks try answers on inputs that do not change: two mistakes may agree by coincidence."""
    for number in range(1, 10):
        name = f"wsss_lib.book.checks.chapter{number}.fresh_generator"
        monkeypatch.setattr(name, lambda: torch.Generator().manual_seed(0), raising=False)
