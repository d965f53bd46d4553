"""What disks, networks, editors and enemies do to files: functions from bytes to other bytes, each decided by its seed."""

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from random import Random

import numpy as np
import safetensors.torch
import torch
from PIL import Image

Mutation = Callable[[bytes, Random], bytes]
ODD_WORDS = (
    "", "-1", "0", "nan", "inf", "1e999", "10" * 20, "é", "\x00", "\u2028", "\ud7ff", "../x", "/", "<b>", '"', "'", "{{7*7}}",
    "a,b", "\ufeff", "%s", "a" * 5000, "background", "cat",
)  # fmt: skip
ODD_VALUES = (
    None,
    True,
    -1,
    0,
    10**30,
    1.5,
    "",
    "x",
    [],
    [[]],
    {},
    {"a": 1},
    "../../x",
    float("nan"),
)


class Payload:
    """Makes a folder where it is unpickled: the sign that code of a file was run."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


# of any file


def emptied(data: bytes, rng: Random) -> bytes:
    return b""


def cut_short(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def zeroed(data: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    end = rng.randrange(start, len(data) + 1)
    return data[:start] + bytes(end - start) + data[end:]


def one_bit(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    if changed:
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def many_bits(data: bytes, rng: Random) -> bytes:
    for _ in range(rng.randrange(2, 60)):
        data = one_bit(data, rng)
    return data


def noise(data: bytes, rng: Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 3000))


def moved(data: bytes, rng: Random) -> bytes:
    """A piece is gone, or stands there twice."""
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.randrange(1, 400))
    return data[:start] + (data[start:end] * 2 + data[end:] if rng.random() < 0.5 else data[end:])


def longer(data: bytes, rng: Random) -> bytes:
    return data + rng.randbytes(rng.randrange(1, 500))


def other_kind(data: bytes, rng: Random) -> bytes:
    """A whole file of another kind under this name."""
    picture = io.BytesIO()
    Image.new("RGB", (9, 7), "red").save(picture, rng.choice(["JPEG", "PNG", "GIF", "TIFF"]))
    return rng.choice(
        [
            picture.getvalue(),
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\nshowpage\n",
            b"<html>no such file</html>",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            pickle.dumps(Payload("ran")),
        ]
    )


BYTES = (emptied, cut_short, zeroed, one_bit, one_bit, many_bits, noise, moved, longer, other_kind)

# of text


def odd_word(data: bytes, rng: Random) -> bytes:
    """A word becomes another one."""
    words = data.decode("utf-8", "replace").split(" ")
    words[rng.randrange(len(words))] = rng.choice(ODD_WORDS)
    return " ".join(words).encode()


def odd_line(data: bytes, rng: Random) -> bytes:
    """A line is gone, twice, or another one."""
    lines = data.decode("utf-8", "replace").split("\n")
    at = rng.randrange(len(lines))
    lines[at : at + 1] = rng.choice([[], lines[at : at + 1] * 2, [rng.choice(ODD_WORDS)]])
    return "\n".join(lines).encode()


def odd_encoding(data: bytes, rng: Random) -> bytes:
    text = data.decode("utf-8", "replace") + "\nkäfer"
    return text.encode(rng.choice(["latin-1", "utf-16", "utf-8-sig", "utf-32", "cp500"]), "replace")


TEXT = (*BYTES, odd_word, odd_line, odd_line, odd_encoding)


def xml(data: bytes, rng: Random) -> bytes:
    """Legal XML that is no annotation, or an evil one."""
    name, box = rng.choice(ODD_WORDS), rng.choice(ODD_WORDS)
    corners = "".join(f"<{side}>{box}</{side}>" for side in ("xmin", "ymin", "xmax", "ymax"))
    body = (
        f"<annotation><object><name>{name}</name><bndbox>{corners}</bndbox></object></annotation>"
    )
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(8)
    )
    heads = [
        "", f'<?xml version="1.0" encoding="{rng.choice(["foo", "utf-7", "utf-16", "rot13", "idna"])}"?>',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', bomb + "]>",
    ]  # fmt: skip
    depth = rng.choice([1, 1, 3000])
    return (rng.choice(heads) + "<x>" * (depth - 1) + body + "</x>" * (depth - 1)).encode(
        "utf-8", "replace"
    )


def json_value(data: bytes, rng: Random) -> bytes:
    """A value somewhere in JSON is of another kind, or gone."""
    tree = json.loads(data)
    place, key = None, None
    node = tree
    while isinstance(node, dict | list) and node and (place is None or rng.random() < 0.7):
        place, key = node, rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        node = node[key]
    if place is None or rng.random() < 0.1:
        return json.dumps(rng.choice(ODD_VALUES)).encode()
    if rng.random() < 0.3:
        del place[key]
    else:
        place[key] = rng.choice(ODD_VALUES)
    return json.dumps(tree).encode()


# of pictures


def picture(data: bytes, rng: Random) -> bytes:
    """A whole picture of another mode, size or format."""
    mode = rng.choice(["1", "L", "P", "RGB", "RGBA", "LA", "I", "I;16", "F", "CMYK"])
    size = rng.choice([(1, 1), (31, 32), (32, 32), (3000, 1), (64, 64)])
    image, made = Image.new(mode, size), io.BytesIO()
    with_exif = {}
    if rng.random() < 0.5:
        exif = Image.Exif()
        exif[0x0112] = rng.choice([3, 6, 99, "six", b"\x06", 1.5])
        with_exif = {"exif": exif}
    try:
        image.save(
            made, rng.choice(["PNG", "PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"]), **with_exif
        )
    except (OSError, ValueError, struct.error, TypeError, AttributeError):
        return data
    return made.getvalue()


def huge_picture(data: bytes, rng: Random) -> bytes:
    """A small file that says that it is a huge picture."""
    header = struct.pack(">II5B", rng.choice([1, 60000, 2**31 - 1]), 60000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + bytes(4)


def mask_values(data: bytes, rng: Random) -> bytes:
    """A mask of the right size with odd labels."""
    made = io.BytesIO()
    labels = np.full((32, 32), rng.choice([0, 8, 9, 254, 255]), np.uint8)
    Image.fromarray(labels).save(made, "PNG")
    return made.getvalue()


# of archives of arrays


def arrays(data: bytes, rng: Random) -> bytes:
    """Maps whose arrays are of other kinds."""
    one = np.ones((1, 4, 4), np.float16)
    maps = rng.choice(
        [one, one * np.nan, one * 7, one * -3, one[:0], one[0], np.array("word"), one.astype(complex),
         np.array([Payload("ran")], dtype=object), np.ones((1, 0, 4)), one > 0, np.ones((300, 1, 1))]
    )  # fmt: skip
    classes = rng.choice([[0], [1, 2], [-1], [99], [0.5], ["a"], [], [[0]], [2**40], [np.nan]])
    size = rng.choice(
        [[32, 32], [0, 0], [32.5, 32], [10**9, 10**9], [-1, 5], [32], ["a", "b"], [64, 64]]
    )
    made = io.BytesIO()
    parts = {"map": maps, "classes": np.array(classes), "size": np.array(size)}
    for name in rng.sample(list(parts), rng.choice([0, 0, 0, 1])):
        del parts[name]
    np.savez(made, **parts)
    return made.getvalue()


def huge_array(data: bytes, rng: Random) -> bytes:
    """A small file that says that its map takes terabytes."""
    made = io.BytesIO()
    head = b"{'descr': '<f2', 'fortran_order': False, 'shape': (1, 1048576, 2097152), }"
    head = head.ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("map.npy", array)
        for name, value in (("classes", [0]), ("size", [32, 32])):
            one = io.BytesIO()
            np.save(one, np.array(value))
            archive.writestr(f"{name}.npy", one.getvalue())
    return made.getvalue()


# of weights


def other_weights(data: bytes, rng: Random) -> bytes:
    """Weights of another network, of other types, or not a number."""
    state = safetensors.torch.load(data)
    name = rng.choice(list(state))
    changes = [
        lambda value: value.double(), lambda value: value.half(), lambda value: value * torch.nan,
        lambda value: value.flatten()[:1], lambda value: torch.zeros(3, 3, 3), None,
    ]  # fmt: skip
    change = rng.choice(changes)
    if change is None:
        del state[name]
    else:
        state[name] = change(state[name].float()).contiguous()
    return safetensors.torch.save(state)


def pickled(data: bytes, rng: Random) -> bytes:
    """A file of PyTorch that would run code."""
    made = io.BytesIO()
    value = rng.choice([Payload("ran"), {"step": 1, "model": Payload("ran")}, [1], {"step": 10**9}])
    torch.save(value, made, _use_new_zipfile_serialization=rng.random() < 0.7)
    return made.getvalue()


# of tar archives


def members(data: bytes, rng: Random) -> bytes:
    """An archive with members that lead out of its folder."""
    made, inside = io.BytesIO(), "VOCdevkit/VOC2012/JPEGImages/"
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name in rng.sample(
            ["a.jpg", "../../../../evil.jpg", "../../../../../evil.jpg", "/evil"], 2
        ):
            info = tarfile.TarInfo(inside + name if name[0] != "/" else name)
            info.type = rng.choice(
                [
                    tarfile.REGTYPE,
                    tarfile.SYMTYPE,
                    tarfile.LNKTYPE,
                    tarfile.CHRTYPE,
                    tarfile.FIFOTYPE,
                ]
            )
            info.linkname = rng.choice(["/etc/passwd", "../../../../evil.jpg", "a.jpg"])
            info.mode = 0o7777
            archive.addfile(info)
    return made.getvalue()
