"""True masks are looked at before they are needed, and all that is wrong with them is said at once."""

import shutil

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data import layout
from wsss_lib.data.layout import ANNOTATIONS, LABELS, MASKS, PHOTOS, InputError
from wsss_lib.data.truth import refuse_bad_masks, truth_fingerprint


def change(root, id, convert, **save) -> None:
    """Another mask in place of one."""
    file = root / MASKS / f"{id}.png"
    with Image.open(file) as image:
        mask = np.asarray(image)
    convert(mask).save(file, **save)


def refused(root, *words) -> None:
    """Refused with the words; also when the masks were looked at before."""
    for _ in range(2):
        with pytest.raises(InputError) as said:
            refuse_bad_masks(root, "train")
        for word in words:
            assert word in str(said.value), said.value


def test_masks_of_unchanged_bytes_are_judged_by_the_classes_of_today(own_root):
    refuse_bad_masks(own_root, "train")
    (own_root / LABELS).write_text("background\napple\n")
    with pytest.raises(InputError, match="holds the label 2, but there are 1 classes"):
        refuse_bad_masks(own_root, "train")


def test_masks_of_more_classes_than_they_can_hold_are_refused(own_root):
    layout.write_lines(own_root / LABELS, ["background", *(f"class {n}" for n in range(255))])
    with pytest.raises(InputError, match="holds 254 classes at most, but labels.txt names 255"):
        refuse_bad_masks(own_root, "train")
    shutil.rmtree(own_root / MASKS)
    refuse_bad_masks(own_root, "train")


@pytest.mark.parametrize("what", ["size", "label", "colours", "broken"])
def test_bad_masks_are_refused(own_root, what):
    file = own_root / MASKS / "train_3.png"
    mask = np.asarray(Image.open(file))
    if what == "size":
        layout.write_mask(file, mask[:-1])
    elif what == "label":
        layout.write_mask(file, np.where(mask == 0, 9, mask))
    elif what == "colours":
        Image.fromarray(mask).convert("RGB").save(file)
    else:
        file.write_bytes(file.read_bytes()[:60])
    words = {
        "size": "at the size of the photo",
        "label": "label 9, but there are 3 classes",
        "colours": "colours",
        "broken": "cannot be read as a mask",
    }
    for _ in range(2):  # also when it was looked at before
        with pytest.raises(InputError, match=f"train_3.png .*{words[what]}"):
            refuse_bad_masks(own_root, "train")


def test_photos_without_masks_are_fine(own_root):
    shutil.rmtree(own_root / MASKS)
    refuse_bad_masks(own_root, "train")
    assert truth_fingerprint(own_root, "train") == truth_fingerprint(own_root, "val")


def with_palette(mask: np.ndarray, colours: np.ndarray) -> Image.Image:
    image = Image.fromarray(mask)
    image.putpalette(colours.tobytes())
    return image


def test_all_bad_masks_are_counted(own_root):
    for number in (1, 2, 4, 5, 6, 7):
        change(own_root, f"train_{number}", lambda mask: Image.fromarray(mask[:-1]))
    refused(
        own_root,
        "train_1.png",
        "at the size",
        "(and 5 more: train_2, train_4, train_5, train_6, train_7).",
    )
    change(own_root, "train_0", lambda mask: Image.fromarray(mask[:-1]))
    refused(
        own_root, "train_0.png", "(and 6 more: train_1, train_2, train_4, train_5, train_6 ...)."
    )
    for number in (3, 6):
        (own_root / MASKS / f"train_{number}.png").write_bytes(b"no picture")
    refused(own_root, "train_3.png cannot be read as a mask", "(and 1 more: train_6).")


def test_a_mask_that_lies_across_its_photo(own_root):
    change(own_root, "train_0", lambda mask: Image.fromarray(mask.T.copy()))
    refused(own_root, "train_0.png is 48 x 64 pixels, but its photo is 64 x 48", "EXIF orientation")


def test_masks_that_show_no_class(own_root):
    """255 is void, and somebody may have meant the object."""
    for file in sorted((own_root / MASKS).glob("train_*.png")):
        change(own_root, file.stem, lambda mask: Image.fromarray(np.uint8(255 * (mask > 0))))
    refused(own_root, "the 8 masks of the list train", "0 and 255 only", "wsss prepare --masks")
    refuse_bad_masks(own_root, "val")
    change(own_root, "train_3", lambda mask: Image.fromarray(np.uint8(mask > 0)))
    refuse_bad_masks(own_root, "train")


def test_masks_of_nothing_are_right_for_photos_of_nothing(own_root):
    for file in (own_root / ANNOTATIONS).glob("train_*.xml"):
        file.write_text("<annotation/>")
        change(own_root, file.stem, lambda mask: Image.fromarray(np.zeros_like(mask)))
    refuse_bad_masks(own_root, "train")


def test_masks_under_other_names_than_the_photos(own_root):
    for file in (own_root / MASKS).iterdir():
        file.rename(file.with_name(f"{file.stem}_mask.png"))
    refused(
        own_root, "12 masks", "none is called like a photo", "train_0_mask.png", "id is train_0;"
    )
    shutil.copy(own_root / MASKS / "val_0_mask.png", own_root / MASKS / "val_0.png")
    refuse_bad_masks(own_root, "train")  # it has none, and val has one
    shutil.rmtree(own_root / PHOTOS)
    (own_root / MASKS / "val_0.png").unlink()
    with pytest.raises(InputError, match="the first id is missing"):
        refuse_bad_masks(own_root, "train")


def test_numbers_of_one_and_of_sixteen_bits_are_labels(own_root):
    before = truth_fingerprint(own_root, "train")
    change(own_root, "train_0", lambda mask: Image.fromarray(mask == 1))
    change(own_root, "train_1", lambda mask: Image.fromarray(mask.astype(np.uint16)))
    refuse_bad_masks(own_root, "train")
    assert truth_fingerprint(own_root, "train") != before
    assert set(np.unique(layout.read_labels(own_root / MASKS / "train_0.png"))) == {0, 1}
    deep = layout.read_labels(own_root / MASKS / "train_1.png")
    assert deep.dtype == np.uint8 and set(np.unique(deep)) == {0, 2, 255}
    change(own_root, "train_1", lambda mask: Image.fromarray(mask.astype(np.uint16) * 300))
    refused(own_root, "train_1.png holds the number", "wsss prepare --masks")


def test_a_palette_whose_first_colour_is_not_black_may_mean_its_colours(own_root):
    palette = layout.voc_palette()
    change(own_root, "train_0", lambda mask: with_palette(mask, palette[::-1].copy()))
    refused(own_root, "train_0.png has a palette", "--mask-values indices", "voc-colours")
    palette[1:] = palette[:0:-1]  # the others may be any
    change(own_root, "train_0", lambda mask: with_palette(mask, palette))
    refuse_bad_masks(own_root, "train")
