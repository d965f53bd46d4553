"""Settings and measurements as plain JSON, and names that stand for them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import PurePath

import numpy as np
from torch import Tensor


def plain(value: object) -> object:
    """Brings settings and measurements to what JSON knows: nan becomes null, a tuple a list, a dataclass a dict."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{value!r} cannot be written as JSON")


def fingerprint(*parts: object) -> str:
    """A name for a stage's settings and for the fingerprints of the stages before it: equal only if all of them are."""
    text = json.dumps(plain(parts), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
