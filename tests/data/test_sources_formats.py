"""Files of VOC's, COCO's, VIA's and other forms that could be read as something that they do not say."""

import pytest

from tests.data.test_labelling_exports import CAT, objects_of, write, xml
from tests.data.test_sources import found, photos, tags_of
from wsss_lib.data.layout import InputError

# VOC's XML


def test_photos_of_one_name_in_two_lists(tmp_path):
    photos(tmp_path, "images/train/1.jpg", "images/val/1.jpg")
    write(tmp_path, {
        "annotations/train/1.xml": xml(("cat", 1, 2, 5, 6), filename="1.jpg"),
        "annotations/val/1.xml": xml(("dog",), filename="1.jpg"),
    })  # fmt: skip
    taken = {
        str(item.file.relative_to(tmp_path)): (item.objects, item.part)
        for item in found(tmp_path).items
    }
    assert taken == {
        "images/train/1.jpg": ((CAT,), "train"), "images/val/1.jpg": ((("dog", None),), "val"),
    }  # fmt: skip


def test_ids_of_lists_that_have_no_photo_and_photos_in_two_lists_are_said(tmp_path):
    photos(tmp_path, *(f"JPEGImages/{number}.jpg" for number in range(4)))
    write(tmp_path, {f"Annotations/{number}.xml": xml(("cat",)) for number in range(3)})
    write(
        tmp_path,
        {"ImageSets/Main/train.txt": "0\n1\n3\n7\n", "ImageSets/Main/val.txt": "1\n2\n0\n"},
    )
    collection = found(tmp_path)
    assert {item.id: item.part for item in collection.items} == {
        "0": "train",
        "1": "train",
        "2": "val",
    }
    assert collection.said == [
        "2 ids of lists have no photo with an annotation: 3 of train.txt, 7 of train.txt",
        "photos that are in two lists stay in the first: 1.jpg (train, val), 0.jpg (train, val)",
    ]
    assert [reason for _, reason in collection.left_out] == ["has no annotation"]


def test_each_of_several_datasets_has_its_own_lists(tmp_path):
    for year in (2007, 2012):
        photos(tmp_path, *(f"VOC{year}/JPEGImages/{number}.jpg" for number in (1, 2)))
        write(tmp_path, {f"VOC{year}/Annotations/{number}.xml": xml(("cat",)) for number in (1, 2)})
    for year, part, number in (
        (2007, "train", 1),
        (2007, "val", 2),
        (2012, "train", 2),
        (2012, "val", 1),
    ):
        write(tmp_path, {f"VOC{year}/ImageSets/Main/{part}.txt": f"{number}\n"})
    taken = {(item.file.parts[-3], item.file.stem): item.part for item in found(tmp_path).items}
    assert taken == {
        ("VOC2007", "1"): "train", ("VOC2007", "2"): "val", ("VOC2012", "2"): "train", ("VOC2012", "1"): "val",
    }  # fmt: skip


def test_tags_that_the_file_of_classes_lacks_come_last(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, {
        "a.xml": xml(("ant",), ("Vehicle:Car",)), "b.xml": xml(("dog",)),
        "classes.txt": "__ignore__\n_background_\nvehicle:car\ndog\nemu\n",
    })  # fmt: skip
    collection = found(tmp_path)
    assert collection.names == ["Vehicle:Car", "dog", "emu", "ant"]
    assert collection.said == ["the file of classes lacks ant: taken as further classes"]


def test_two_annotations_of_one_photo_are_asked_about(tmp_path):
    photos(tmp_path, "images/a.jpg")
    write(tmp_path, {"annotations/a.xml": xml(("cat",)), "backup/a.xml": xml(("dog",))})
    with pytest.raises(
        InputError, match="a.jpg has two annotations, .*annotations/a.xml and .*backup"
    ):
        found(tmp_path)


def test_boxes_that_are_none(tmp_path):
    photos(tmp_path, "a.jpg")
    write(tmp_path, {"a.xml": xml(("cat", 0, 0, 5, 5), ("dog", 5, 5, 2, 2), ("emu",))})
    assert objects_of(tmp_path)["a.jpg"][0] == (("cat", (1, 1, 5, 5)), ("dog", None), ("emu", None))
    assert found(tmp_path).said[0].startswith("1 objects have no box that can be read")


@pytest.mark.parametrize("text", [xml((" ",)), "<other/>"])
def test_xml_that_is_no_annotation(tmp_path, text):
    photos(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, {"a.xml": xml(("cat",)), "b.xml": text})
    with pytest.raises(InputError, match="b.xml is not an annotation in VOC's format"):
        found(tmp_path)


# COCO's json

CATEGORIES = [{"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}]


def coco(*images, annotations=(), categories=CATEGORIES):
    return {
        "images": [{"id": id, "file_name": name} for id, name in enumerate(images)],
        "annotations": [{"image_id": i, "category_id": c, "bbox": [0, 1, 5, 5]} for i, c in annotations],
        "categories": list(categories),
    }  # fmt: skip


def test_coco_as_it_is_published(tmp_path):
    """Captions and keypoints of the same photos lie beside the instances."""
    photos(tmp_path, "train2017/1.jpg", "val2017/2.jpg")
    for part, name, category in (("train", "1.jpg", 1), ("val", "2.jpg", 2)):
        captions = {
            "images": [{"id": 0, "file_name": name}],
            "annotations": [{"image_id": 0, "caption": "x"}],
        }
        write(tmp_path, {
            f"annotations/instances_{part}2017.json": coco(name, annotations=[(0, category)]),
            f"annotations/captions_{part}2017.json": captions,
            f"annotations/person_keypoints_{part}2017.json": coco(name, categories=[{"id": 1, "name": "person"}]),
        })  # fmt: skip
    assert objects_of(tmp_path) == {
        "1.jpg": ((CAT,), "train"),
        "2.jpg": ((("dog", (1, 2, 5, 6)),), "val"),
    }
    assert found(tmp_path).names == ["cat", "dog"]


def test_lists_are_told_by_whole_words(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg")
    write(
        tmp_path,
        {"latest.json": coco("a.jpg", annotations=[(0, 1)]), "coco-train.json": coco("b.jpg")},
    )
    assert {name: part for name, (_, part) in objects_of(tmp_path).items()} == {
        "a.jpg": None,
        "b.jpg": "train",
    }


def test_folders_are_lists_where_one_json_names_all(tmp_path):
    photos(tmp_path, "train/1.jpg", "val/1.jpg")
    write(tmp_path, {"result.json": coco("train/1.jpg", "val/1.jpg", annotations=[(1, 1)])})
    assert {item.part: item.objects for item in found(tmp_path).items} == {
        "train": (),
        "val": (CAT,),
    }


def test_objects_of_no_image_are_said(tmp_path):
    photos(tmp_path, "a.jpg")
    write(tmp_path, {"x.json": coco("a.jpg", annotations=[(0, 1), (9, 2)])})
    assert found(tmp_path).said == ["1 objects belong to no image, and are left out"]


def test_ids_may_be_text(tmp_path):
    photos(tmp_path, "a.jpg")
    categories = [{"id": "10", "name": "dog"}, {"id": 9, "name": "cat"}]
    write(tmp_path, {"x.json": coco("a.jpg", annotations=[(0, "9")], categories=categories)})
    assert objects_of(tmp_path) == {"a.jpg": ((CAT,), None)} and found(tmp_path).names == [
        "cat",
        "dog",
    ]


def test_a_long_json_is_known_by_its_ends(tmp_path):
    names = [f"{number}.jpg" for number in range(3)]
    photos(tmp_path, *names)
    tree = coco(*names, annotations=3000 * [(0, 1)])
    tree["images"] = [{**image, "note": 40_000 * "x"} for image in tree["images"]]
    write(tmp_path, {"x.json": {key: tree[key] for key in ("images", "categories", "annotations")}})
    assert found(tmp_path).kind == "coco" and len(found(tmp_path).items[0].objects) == 3000


def test_boxes_of_no_size_are_none(tmp_path):
    photos(tmp_path, "a.jpg")
    tree = coco("a.jpg", annotations=4 * [(0, 1)])
    for each, bbox in zip(
        tree["annotations"], ([0, 0, 0, 0], [2.2, 1, 0.2, 0.3], None, [-3, -3, 5, 5])
    ):
        each["bbox"] = bbox
    write(tmp_path, {"x.json": tree})
    assert [box for _, box in objects_of(tmp_path)["a.jpg"][0]] == [
        None,
        (3, 2, 3, 2),
        None,
        (1, 1, 2, 2),
    ]


# other labelling programs

VIA = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"


def test_via_with_tags_of_photos(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg")
    rows = [
        f'{name},1,"{{""caption"":""x"",""kind"":""{kind}""}}",0,0,"{{}}","{{}}"\n'
        for name, kind in (("a.jpg", "cat"), ("b.jpg", "dog"))
    ]
    write(tmp_path, {"via.csv": VIA + "".join(rows)})
    assert tags_of(tmp_path) == {"a.jpg": {"cat"}, "b.jpg": {"dog"}}


@pytest.mark.parametrize(("first", "tags"), [("name", {"cat"}), ("colour", None)])
def test_via_with_several_attributes(tmp_path, first, tags):
    photos(tmp_path, "a.jpg")
    row = f'a.jpg,1,"{{}}",1,0,"{{""name"":""rect"",""x"":0}}","{{""{first}"":""cat"",""quality"":{{""good"":true}}}}"\n'
    write(tmp_path, {"via.csv": VIA + row})
    if tags is None:
        with pytest.raises(
            InputError, match="attributes colour, quality of regions: delete in VIA"
        ):
            found(tmp_path)
    else:
        assert objects_of(tmp_path) == {"a.jpg": ((("cat", None),), None)}


def test_vott_csv(tmp_path):
    photos(tmp_path, "a.jpg", "b.jpg")
    head = '"image","xmin","ymin","xmax","ymax","label"\n'
    write(tmp_path, {
        "birds-train-export.csv": f'{head}"a.jpg",1.2,2.1,5.0,5.9,"cat"\n',
        "birds-test-export.csv": f'{head}"b.jpg",1,2,5,6,"cat"\n',
    })  # fmt: skip
    assert objects_of(tmp_path) == {"a.jpg": ((CAT,), "train"), "b.jpg": ((CAT,), "test")}


def test_label_studio_csv_of_boxes(tmp_path):
    photos(tmp_path, "3f2a-a b.jpg")
    regions = '"[{""x"":1,""y"":1,""width"":5,""height"":5,""rectanglelabels"":[""cat""],""original_width"":12}]"'
    write(
        tmp_path,
        {"p.csv": f"annotation_id,id,image,label\n1,7,/data/upload/1/3f2a-a%20b.jpg,{regions}\n"},
    )
    assert tags_of(tmp_path) == {"3f2a-a b.jpg": {"cat"}}


OTHERS = {
    "YOLO beside the photos": ({"pets/a.txt": "0 0.5 0.5 0.1 0.1\n", "pets/classes.txt": "cat\n"}, "YOLO"),
    "Labelme": ({"pets/a.json": {"version": "5", "shapes": [], "imagePath": "a.jpg"}}, "a json of annotations"),
    "Supervisely": ({"pets/a.jpg.json": {"tags": [], "size": {}}}, "a json of annotations"),
    "CVAT for images": ({"annotations.xml": "<?xml version='1.0'?>\n<annotations></annotations>"}, "CVAT for images"),
}  # fmt: skip


@pytest.mark.parametrize("form", OTHERS)
def test_a_format_that_is_not_read_does_not_make_its_folder_a_tag(tmp_path, form):
    files, words = OTHERS[form]
    photos(tmp_path, "pets/a.jpg")
    write(tmp_path, files)
    with pytest.raises(
        InputError, match=f"looks like .*{words}.*If the folders are the tags, say --as folders"
    ):
        found(tmp_path)
    assert tags_of(tmp_path, kind="folders") == {"pets/a.jpg": {"pets"}}


def test_texts_and_settings_that_are_of_no_labelling_program(tmp_path):
    photos(tmp_path, "cat/a.jpg")
    write(
        tmp_path,
        {"cat/a.txt": "a cat on a mat\n", "settings.json": {"version": 1}, "cat/b.xml": "<note/>"},
    )
    assert tags_of(tmp_path) == {"cat/a.jpg": {"cat"}}
