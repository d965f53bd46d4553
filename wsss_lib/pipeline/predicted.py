"""A folder of masks of new photos, and what it remembers of how they were made.

::

    <folder>/<name>.png                  the mask, palette PNG
             probabilities/<name>.npz    ``probability`` float16 ``(L, H, W)``, ``names``, ``size`` of the photo
             overlays/<name>.jpg         the mask over the photo, to look at
             predict.json                the network, its settings and classes, and the photo of each name
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsss_lib.data.exports.masked import NOTE, read_note
from wsss_lib.data.files import atomic, remove_abandoned, write_json
from wsss_lib.data.layout import InputError, read_photo, write_mask
from wsss_lib.pipeline.kinds import is_mask
from wsss_lib.pipeline.overlays import overlay_with_legend
from wsss_lib.pipeline.prediction import Seen
from wsss_lib.pipeline.runs import difference
from wsss_lib.pipeline.trained import Trained


@dataclass(frozen=True)
class Predicted:
    """A folder of masks; what is there is kept.

    Attributes:
        folder: of the masks.
        name: of each photo.
        classes: class names, background first.
        overlays: also write pictures to look at.
        probabilities: also write probabilities.
        again: write anew what is there.
    """

    folder: Path
    name: dict[Path, str]
    classes: list[str]
    overlays: bool = False
    probabilities: bool = False
    again: bool = False

    def begin(self, network: Trained, tags_NK: np.ndarray | None, **settings: object) -> None:
        """Notes how the masks are made, before the first is.

        Args:
            network: it makes them.
            tags_NK: what it is told of each photo, in the order of ``name``.
            settings: of `wsss_lib.pipeline.prediction.predict`, as far as they decide what is made.

        Raises:
            InputError: the folder holds other things, or masks that were made otherwise or of other photos.
        """
        made = {"network": network.work.name, "weights": network.digest, **settings}
        note = {"made": made, "classes": network.names, "photos": {}}
        if (self.folder / NOTE).is_file():
            before = read_note(self.folder)
            other = difference({**before, "photos": {}}, note)
            if other:
                raise InputError(
                    f"{self.folder} holds masks that were made otherwise ({other}); give --to another folder."
                )
            note = before
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise InputError(
                f"{self.folder} is there and holds other things than masks of this command; give --to a new folder."
            )
        for number, (file, name) in enumerate(self.name.items()):
            photo = {"file": str(file.resolve())}
            if tags_NK is not None:
                photo["tags"] = [network.names[k + 1] for k in tags_NK[number].nonzero()[0]]
            other = difference(note["photos"].get(name, photo), photo, name)
            if other:
                raise InputError(
                    f"{self.folder} holds a mask of another photo or other tags ({other}); give --to another folder."
                )
            note["photos"][name] = photo
        write_json(self.folder / NOTE, note)
        remove_abandoned(self.folder.rglob(".*.part"))

    def made(self, file: Path) -> bool:
        """Whether all that is wanted of a photo is there, and is to be kept."""
        mask, *others = self._files(file)
        return not self.again and is_mask(mask) and all(other.is_file() for other in others)

    def write(self, seen: Seen) -> None:
        """Writes what is wanted of a photo and is not there."""
        file, label_HW, probability_LHW = seen
        for target in self._files(file):
            if target.is_file() and not self.again and (target.suffix != ".png" or is_mask(target)):
                continue
            with atomic(target) as aside, aside.open("wb") as opened:
                if target.suffix == ".png":
                    write_mask(opened, label_HW)
                elif target.suffix == ".npz":
                    half = probability_LHW.astype(np.float16)
                    names, size = np.array(self.classes), np.int32(label_HW.shape)
                    np.savez(opened, probability=half, names=names, size=size)
                else:
                    picture = overlay_with_legend(read_photo(file), label_HW, self.classes)
                    picture.save(opened, "JPEG", quality=88)

    def _files(self, file: Path) -> list[Path]:
        name = self.name[file]
        wanted = [self.folder / f"{name}.png"]
        if self.probabilities:
            wanted.append(self.folder / "probabilities" / f"{name}.npz")
        if self.overlays:
            wanted.append(self.folder / "overlays" / f"{name}.jpg")
        return wanted
