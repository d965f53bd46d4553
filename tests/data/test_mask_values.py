"""What masks that people bring say: read where it is plain, asked about where it is not."""

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data.layout import InputError, voc_palette
from wsss_lib.data.sources.mask_values import decide, labels_of, read_pixels
from wsss_lib.data.sources.masks import find_masks

NAMES = ["cat", "dog"]
LABELS = np.array([[0, 0, 1], [2, 2, 255]])
COLOURS = voc_palette()[LABELS]


def palette(colours):
    image = Image.fromarray(LABELS.astype(np.uint8))
    image.putpalette(colours.astype(np.uint8).tobytes())
    return image


def grey(values):
    return Image.fromarray(np.array(values, dtype=np.uint8))


SWAPPED = voc_palette()[[1, 0, 2, *range(3, 256)]]
PLAIN = {
    "palette": palette(voc_palette()),
    "palette of other colours": palette(np.r_[0, 0, 0, 3:768].reshape(256, 3) % 256),
    "8 bits": grey(LABELS),
    "16 bits": Image.fromarray(LABELS.astype(np.uint16)),
    "VOC's colours": Image.fromarray(COLOURS),
    "with an alpha": Image.fromarray(np.dstack([COLOURS, np.full((2, 3), 255, np.uint8)])),
}


def read(file, image, asked=None, names=NAMES, tags=(1, 2)):
    image.save(file)
    code = decide([read_pixels(file)], asked, names)
    return labels_of(read_pixels(file), code, list(tags))


@pytest.mark.parametrize("image", PLAIN)
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_what_is_plain_is_read(tmp_path, image, ending):
    assert np.array_equal(read(tmp_path / f"mask{ending}", PLAIN[image]), LABELS)


def test_one_bit_is_the_one_class(tmp_path):
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert read(tmp_path / "mask.png", image, names=["cat"]).tolist() == [[0, 1]]


ASKED = {
    "0 and 255": (grey([[0, 255]]), "hold 0 and 255 only.*--mask-values foreground"),
    "255 alone": (grey([[255, 255]]), "hold 0 and 255 only"),
    "a palette that begins with a colour": (palette(SWAPPED), "palette.*--mask-values indices.*voc-colours"),
    "a number too many": (grey([[0, 3]]), "number 3.*0, 1 to 2.*--mask-values FILE"),
    "16 bits": (Image.fromarray(np.array([[0, 700]], np.uint16)), "number 700"),
    "another colour": (Image.fromarray(np.full((1, 1, 3), 9, np.uint8)), r"colour \(9, 9, 9\).*FILE"),
    "fractions": (Image.fromarray(np.array([[0.5]], np.float32)), "fractions"),
}  # fmt: skip


@pytest.mark.parametrize("case", ASKED)
def test_what_is_not_plain_is_asked(tmp_path, case):
    image, words = ASKED[case]
    with pytest.raises(InputError, match=words):
        read(tmp_path / "mask.tif", image)


def test_255_can_be_the_object(tmp_path):
    file, image = tmp_path / "mask.png", grey([[0, 255, 7]])
    assert read(file, image, "foreground", tags=[2]).tolist() == [[0, 2, 2]]
    assert read(file, grey([[0, 255]]), "indices").tolist() == [[0, 255]]
    for tags in ([], [1, 2]):
        with pytest.raises(InputError, match=f"{len(tags)} tags"):
            read(file, image, "foreground", tags=tags)
    assert read(file, grey([[0, 0]]), "foreground", tags=[]).tolist() == [[0, 0]]


def test_a_palette_is_read_as_it_is_asked(tmp_path):
    assert np.array_equal(read(tmp_path / "a.png", palette(SWAPPED), "indices"), LABELS)
    swapped = read(tmp_path / "b.png", palette(SWAPPED), "voc-colours")
    assert np.array_equal(swapped, np.array([[1, 1, 0], [2, 2, 255]]))


TABLES = {
    "commas": "0,0,0,background\n10,0,0,cat\n0,10,0,Dog\n9,9,9,void\n",
    "hex": "# colours\n#000000,background\n#0a0000,cat\n#000a00,dog\n#090909,ignore\n",
    "CVAT": "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:10,0,0::\ndog:0,10,0::\nvoid:9,9,9::\n",
}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_colours(tmp_path, table):
    (tmp_path / "table").write_text(TABLES[table])
    colours = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0], [9, 9, 9]], np.uint8)[None]
    labels = read(tmp_path / "mask.png", Image.fromarray(colours), str(tmp_path / "table"))
    assert labels.tolist() == [[0, 1, 2, 255]]
    other = Image.fromarray(np.full((1, 1, 3), 77, np.uint8))
    with pytest.raises(InputError, match=r"\(77, 77, 77\)"):
        read(tmp_path / "other.png", other, str(tmp_path / "table"))


def test_a_table_of_numbers(tmp_path):
    (tmp_path / "table.csv").write_text("0,background\n128,cat\n200,dog\n")
    labels = read(tmp_path / "mask.png", grey([[0, 128, 200]]), str(tmp_path / "table.csv"))
    assert labels.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("text", "words"),
    [("1,2,cat\n", "line 1.*not a colour"), ("0,emu\n", "'emu'.*cat, dog"), ("x\n", "line 1")],
)
def test_a_table_that_cannot_be_used(tmp_path, text, words):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read(tmp_path / "mask.png", grey([[0]]), str(tmp_path / "table.csv"))


def test_a_word_that_is_no_way_to_read_masks(tmp_path):
    with pytest.raises(InputError, match="indices, voc-colours, foreground, or the file"):
        read(tmp_path / "mask.png", grey([[0]]), "colors")


def test_all_masks_are_saved_in_one_way(tmp_path):
    grey(LABELS).save(tmp_path / "a.png")
    Image.fromarray(COLOURS).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="a.png holds numbers, but .*b.png colours"):
        decide([read_pixels(tmp_path / name) for name in ("a.png", "b.png")], None, NAMES)


# their names


def masks_named(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        grey([[0]]).save(folder / name)
    return folder


@pytest.mark.parametrize(
    "name",
    ["cat 1.png", "cat 1_mask.png", "mask_cat 1.png", "CAT 1-seg.bmp", "cat 1.jpg.png", "animals_cat_1.png",
     "deep/below/cat 1_labelIds.png"],
)  # fmt: skip
def test_a_mask_is_found_by_its_name(tmp_path, name):
    folder = masks_named(tmp_path / "masks", name, "other.png", ".hidden.png")
    photo = tmp_path / "animals/cat 1.JPG"
    assert find_masks(folder, {"animals_cat_1": photo}) == {"animals_cat_1": folder / name}


def test_folders_tell_masks_of_one_name_apart(tmp_path):
    folder = masks_named(tmp_path / "masks", "a/1.png", "b/1.png")
    photos = {"a_1": tmp_path / "a/1.jpg", "b_1": tmp_path / "b/1.jpg"}
    assert find_masks(folder, photos) == {"a_1": folder / "a/1.png", "b_1": folder / "b/1.png"}
    with pytest.raises(InputError, match="both called like"):
        find_masks(folder, {"c_1": tmp_path / "c/1.jpg"})
    one = masks_named(tmp_path / "one", "1.png")
    with pytest.raises(InputError, match="called like two photos"):
        find_masks(one, photos)


def test_masks_that_are_called_otherwise(tmp_path):
    folder = masks_named(tmp_path / "masks", "x1.png", "x2.png")
    with pytest.raises(InputError, match="2 masks .*the first is x1.png, a photo is 1.jpg"):
        find_masks(folder, {"1": tmp_path / "1.jpg"})
    with pytest.raises(InputError, match="holds no masks"):
        find_masks(masks_named(tmp_path / "none", ".a.png"), {"1": tmp_path / "1.jpg"})
