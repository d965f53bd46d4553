"""Pages that hold all that they show, so that they can be sent and kept; they ask for nothing from anywhere.

A page is a template in jinja's language, which escapes all text but what is marked as safe. ``frame.html`` stands around it,
``pages.html`` holds the parts that pages share, ``pages.css`` how they look.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

HERE = Path(__file__).parent
LONGEST_SIDE = 320  # pixels of a picture in a page


def page(template: Path, **contents: object) -> str:
    """A page: a template and what it has to say."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, HERE]),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = Markup((HERE / "pages.css").read_text(encoding="utf-8"))  # our own, as is
    return environment.get_template(template.name).render(style=style, **contents)


def as_jpeg(picture: np.ndarray | None) -> dict | None:
    """A picture, uint8 ``(H, W, 3)``, as an address that holds it, and its size."""
    if picture is None:
        return None
    image, file = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    image.save(file, "JPEG", quality=85, subsampling=0)
    source = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"source": source, "width": image.width, "height": image.height}


def hex_of(colour: np.ndarray) -> str:
    """A colour as pages write it."""
    return f"#{bytes(colour.tolist()).hex()}"
