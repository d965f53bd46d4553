"""Exports of labelling tools, made after their documentation: read rightly, or refused in words."""

import json
from xml.sax.saxutils import escape

import numpy as np
import pytest
from PIL import Image

from tests.data.test_sources import found, photos, tags_of
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.dataset import Wanted
from wsss_lib.data.sources.prepare import prepare


def xml(*objects, filename="", size=True):
    """VOC's XML: a name, or a name and four corners, for each object."""
    lines = [f"<annotation><folder>x</folder><filename>{filename}</filename>"]
    lines += ["<size><width>12</width><height>8</height><depth>3</depth></size>"] * size
    for name, *corners in objects:
        box = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), corners))
        box = f"<bndbox>{box}</bndbox>" if corners else ""
        lines.append(f"<object><name>{escape(name)}</name><pose>Unspecified</pose>{box}</object>")
    return "".join([*lines, "</annotation>"])


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text if isinstance(text, str) else json.dumps(text))


def objects_of(root, **asked):
    return {item.file.name: (item.objects, item.part) for item in found(root, **asked).items}


CAT, DOG = ("cat", (1, 2, 5, 6)), ("dog", (1, 2, 5, 6))


def test_labelimg_with_the_xml_beside_the_photos(tmp_path):
    photos(tmp_path, "a.jpg", "b.png", "c.jpg")
    write(tmp_path, {
        "a.xml": xml(("cat", 1, 2, 5, 6), filename="a.jpg"),
        "b.xml": xml(("dog & co", 1, 1, 2, 2), ("cat", 1, 2, 5, 6), filename="b.png"),
        "predefined_classes.txt": "dog & co\ncat\nperson\n",
    })  # fmt: skip
    assert objects_of(tmp_path) == {
        "a.jpg": ((CAT,), None), "b.png": ((("dog & co", (1, 1, 2, 2)), CAT), None),
    }  # fmt: skip
    collection = found(tmp_path)
    assert collection.names == ["dog & co", "cat", "person"]
    assert [reason for _, reason in collection.left_out] == ["has no annotation"]


def test_labelimg_with_the_xml_in_a_folder_of_its_own(tmp_path):
    photos(tmp_path, "images/a b.JPG", "images/c.jpg")
    write(tmp_path, {
        "annotations/a b.xml": xml(("cat", 1, 2, 5, 6), filename="a b.JPG"),
        "annotations/other name.xml": xml(("dog",), filename="c.jpg"),
    })  # fmt: skip
    assert objects_of(tmp_path) == {"a b.JPG": ((CAT,), None), "c.jpg": ((("dog", None),), None)}


def test_roboflow_voc(tmp_path):
    names = [f"{part}/img0_jpg.rf.{i}.jpg" for i, part in enumerate(("train", "valid", "test"))]
    photos(tmp_path, *names)
    write(
        tmp_path,
        {
            name.replace(".jpg", ".xml"): xml(("cat", 1, 2, 5, 6), filename=name.split("/")[1])
            for name in names
        },
    )
    write(tmp_path, {"README.roboflow.txt": "Exported by ...", "README.dataset.txt": "x"})
    assert {part for _, part in objects_of(tmp_path).values()} == {"train", "val", "test"}


def test_roboflow_coco(tmp_path):
    photos(tmp_path, "train/a.jpg", "valid/b.jpg", "valid/none.jpg")
    categories = [
        {"id": 0, "name": "animals", "supercategory": "none"},
        {"id": 1, "name": "cat"},
        {"id": 2, "name": "dog"},
    ]
    box = {"bbox": [0, 1, 5, 5], "area": 25, "iscrowd": 0, "segmentation": []}
    write(tmp_path, {
        "train/_annotations.coco.json": {
            "info": {}, "licenses": [], "categories": categories, "images": [{"id": 0, "file_name": "a.jpg"}],
            "annotations": [{"id": i, "image_id": 0, "category_id": i, **box} for i in (1, 2)],
        },
        "valid/_annotations.coco.json": {
            "categories": categories, "images": [{"id": 0, "file_name": "b.jpg"}, {"id": 1, "file_name": "none.jpg"}],
            "annotations": [{"id": 0, "image_id": 0, "category_id": 2, **box}],
        },
    })  # fmt: skip
    assert objects_of(tmp_path) == {
        "a.jpg": ((CAT, DOG), "train"), "b.jpg": ((DOG,), "val"), "none.jpg": ((), "val"),
    }  # fmt: skip
    dataset = prepare(tmp_path, None, progress=False)
    assert dataset.names == ["background", "cat", "dog"]
    assert any("animals" in line and "no photo" in line for line in dataset.said)


def test_roboflow_multiclass(tmp_path):
    photos(tmp_path, "train/a.jpg", "train/b.jpg", "valid/a.jpg")
    write(tmp_path, {
        "train/_classes.csv": "filename, cat, dog\na.jpg, 1, 0\nb.jpg, 1, 1\n",
        "valid/_classes.csv": "filename, cat, dog\na.jpg, 0, 1\n",
    })  # fmt: skip
    assert tags_of(tmp_path) == {
        "train/a.jpg": {"cat"},
        "train/b.jpg": {"cat", "dog"},
        "valid/a.jpg": {"dog"},
    }
    assert found(tmp_path).names == ["cat", "dog"]


def test_roboflow_tensorflow_csv(tmp_path):
    photos(tmp_path, "train/a.jpg", "valid/b.jpg")
    head = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    write(tmp_path, {
        "train/_annotations.csv": f"{head}a.jpg,12,8,cat,1,2,5,6\na.jpg,12,8,dog,2,2,4,4\n",
        "valid/_annotations.csv": f"{head}b.jpg,12,8,cat,1,2,5,6\n",
    })  # fmt: skip
    assert objects_of(tmp_path) == {
        "a.jpg": ((CAT, ("dog", (2, 2, 4, 4))), "train"), "b.jpg": ((CAT,), "val"),
    }  # fmt: skip


def test_cvat_voc_with_coloured_masks(tmp_path):
    """ImageSets/Main/default.txt names all photos; labelmap.txt the colours of the masks."""
    names = [f"{i:02d}" for i in range(6)]
    photos(tmp_path, *(f"JPEGImages/{name}.jpg" for name in names))
    write(
        tmp_path,
        {f"Annotations/{n}.xml": xml(("cat", 1, 2, 5, 6), filename=f"{n}.jpg") for n in names},
    )
    write(tmp_path, {
        "labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\n",
        "ImageSets/Main/default.txt": "\n".join(names), "ImageSets/Main/cat_default.txt": "\n".join(f"{n}  1" for n in names),
    })  # fmt: skip
    (tmp_path / "SegmentationClass").mkdir()
    colours = np.zeros((8, 12, 3), np.uint8)
    colours[:4] = 250, 50, 83
    for name in names:
        Image.fromarray(colours).save(tmp_path / f"SegmentationClass/{name}.png")
    dataset = prepare(tmp_path, tmp_path.parent / "out", wanted=Wanted(val=0.2), progress=False)
    assert dataset.names == ["background", "cat"] and set(dataset.items) == set(names)
    label = np.asarray(Image.open(tmp_path.parent / "out/SegmentationClass/00.png"))
    assert label[0].tolist() == [1] * 12 and label[-1].tolist() == [0] * 12


def test_cvat_coco(tmp_path):
    photos(tmp_path, "images/default/a.jpg", "images/default/sub/b.jpg")
    write(tmp_path, {"annotations/instances_default.json": {
        "categories": [{"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}],
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "sub/b.jpg"}],
        "annotations": [{"id": 1, "image_id": 2, "category_id": 1, "segmentation": [[0, 0, 1, 1, 2, 0]], "iscrowd": 1}],
    }})  # fmt: skip
    assert objects_of(tmp_path) == {"a.jpg": ((), None), "b.jpg": ((("cat", None),), None)}
    assert found(tmp_path).names == ["cat", "dog"]


def test_label_studio_voc_and_coco(tmp_path):
    voc, coco = tmp_path / "voc", tmp_path / "coco"
    photos(voc, "images/3f2a-a.jpg")
    write(voc, {"Annotations/3f2a-a.xml": xml(("cat", 1, 2, 5, 6), filename="3f2a-a")})
    assert objects_of(voc) == {"3f2a-a.jpg": ((CAT,), None)}
    photos(coco, "images/3f2a-a.jpg")
    write(coco, {"result.json": {
        "images": [{"width": 12, "height": 8, "id": 0, "file_name": "images/3f2a-a.jpg"}],
        "categories": [{"id": 0, "name": "cat"}],
        "annotations": [{"id": 0, "image_id": 0, "category_id": 0, "bbox": [0.2, 1.1, 5.0, 4.9]}],
        "info": {"contributor": "Label Studio"},
    }})  # fmt: skip
    assert objects_of(coco) == {"3f2a-a.jpg": ((CAT,), None)}


def test_label_studio_csv(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, {"project.csv": (
        "annotation_id,annotator,choice,created_at,id,image,updated_at\n"
        '1,1,cat,2026,1,/data/upload/1/a.jpg,2026\n2,1,"{""choices"": [""cat"",""dog""]}",2026,2,/data/upload/1/b.jpg,2026\n'
    )})  # fmt: skip
    assert tags_of(tmp_path) == {"a.jpg": {"cat"}, "b.jpg": {"cat", "dog"}}


def test_via_csv(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg")
    rect = '"{""name"":""rect"",""x"":0,""y"":1,""width"":5,""height"":5}"'
    write(tmp_path, {"via_export.csv": (
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
        f'a.jpg,12,"{{}}",2,0,{rect},"{{""kind"":""cat""}}"\n'
        'a.jpg,12,"{}",2,1,"{""name"":""circle"",""cx"":1,""cy"":2,""r"":1}","{""kind"":{""dog"":true,""emu"":false}}"\n'
        'b.jpg,12,"{}",0,0,"{}","{}"\n'
    )})  # fmt: skip
    assert objects_of(tmp_path) == {"a.jpg": ((CAT, ("dog", None)), None), "b.jpg": ((), None)}


@pytest.mark.parametrize(
    "files",
    [
        {"data.yaml": "names: [cat]\n", "train/labels/a.txt": "0 0.5 0.5 0.1 0.1\n"},
        {"via_project.json": {"_via_settings": {}, "_via_img_metadata": {}}},
        {"createml.json": [{"image": "a.jpg", "annotations": []}]},
    ],
)
def test_other_formats_are_named(tmp_path, files):
    photos(tmp_path, "train/images/a.jpg")
    write(tmp_path, files)
    with pytest.raises(InputError, match="looks like .*export it as COCO or as Pascal VOC"):
        found(tmp_path)


# VOC-like folders of one's own


def voc(root, ending="jpg", lists=None, **more):
    names = [f"{tag}{i}" for tag in ("cat", "dog") for i in range(3)]
    photos(root, *(f"JPEGImages/{name}.{ending}" for name in names))
    write(
        root,
        {f"Annotations/{name}.xml": xml((name[:3],), filename=f"{name}.jpg") for name in names},
    )
    write(root, {"labels.txt": "background\ncat\ndog\n", **(lists or {})})
    return root


LISTS = {
    "bare ids": "cat0\ncat1\ndog0\n",
    "with endings": "cat0.jpg\ncat1.jpg\ndog0.jpg\n",
    "as DeepLab": "".join(
        f"/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png\n" for n in ("cat0", "cat1", "dog0")
    ),
    "with numbers": "cat0  1\ncat1 -1\ndog0  1\n",
}


@pytest.mark.parametrize("ending", ["jpg", "JPG", "png"])
@pytest.mark.parametrize("form", LISTS)
@pytest.mark.parametrize("folder", ["Segmentation", "Main"])
def test_lists_of_every_usual_form(tmp_path, form, ending, folder):
    lists = {
        f"ImageSets/{folder}/train.txt": LISTS[form],
        f"ImageSets/{folder}/val.txt": "cat2\ndog1\n",
    }
    lists[f"ImageSets/{folder}/cat_train.txt"] = "dog2 -1\n"
    collection = found(voc(tmp_path, ending, lists))
    assert {item.id: item.part for item in collection.items} == {
        "cat0": "train", "cat1": "train", "dog0": "train", "cat2": "val", "dog1": "val",
    }  # fmt: skip
    assert [reason for _, reason in collection.left_out] == ["is in no list"]
    assert collection.names == ["cat", "dog"]


def test_a_bad_box_does_no_harm_to_tags(tmp_path):
    voc(tmp_path)
    bad = "<object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object>"
    write(tmp_path, {"Annotations/cat0.xml": f"<annotation>{bad}</annotation>"})
    collection = found(tmp_path)
    assert len(collection.items) == 6 and any(
        "1 objects have no box" in line for line in collection.said
    )


def test_a_photo_without_objects_is_one_without_tags(tmp_path):
    voc(tmp_path)
    write(tmp_path, {"Annotations/cat0.xml": xml()})
    assert tags_of(tmp_path)["JPEGImages/cat0.jpg"] == set()


BROKEN = {
    "not XML": ({"Annotations/cat0.xml": "<annotation><obj"}, "cat0.xml is not an annotation"),
    "no name": (
        {"Annotations/cat0.xml": "<annotation><object/></annotation>"},
        "cat0.xml is not an annotation",
    ),
    "no photo": ({"Annotations/emu.xml": xml(("emu",))}, "emu.xml names 'emu'.*--skip-broken"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_annotations_that_cannot_be_used(tmp_path, case):
    files, words = BROKEN[case]
    write(voc(tmp_path), files)
    with pytest.raises(InputError, match=words):
        found(tmp_path)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"images": [{"id": 1}], "annotations": [], "categories": []}, "has no file_name"),
        ({"images": [{"id": 1, "file_name": "gone.jpg"}], "annotations": [], "categories": []}, "'gone.jpg'.*skip-broken"),
        ({"images": 3, "annotations": [], "categories": []}, "not COCO's json"),
        ({"images": [], "annotations": [{"image_id": 1, "category_id": 7}], "categories": []}, "the category 7"),
        ('{"images": [], "annotations": [', "not COCO's json.*export it again"),
    ],
)  # fmt: skip
def test_json_that_cannot_be_used(tmp_path, tree, words):
    photos(tmp_path, "a.jpg")
    write(tmp_path, {"instances_train.json": tree})
    with pytest.raises(InputError, match=words):
        found(tmp_path)
