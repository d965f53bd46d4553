"""Settings and measurements as plain JSON and back, and names that stand for them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from pathlib import PurePath

import numpy as np
from torch import Tensor

from wsss_lib.data.layout import InputError


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


def restored(kind: object, value: object, name: str = "recipe") -> object:
    """Settings as they were before `plain` brought them to JSON.

    Args:
        kind: their dataclass, or the type of one setting.
        value: what JSON says. Settings that it does not have take their defaults.
        name: of the settings, in what is said.

    Raises:
        InputError: a setting is unknown, missing, of another type, or outside of its limits.
    """
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _restored_settings(kind, value, name)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        kind, *others = [each for each in options if each is not type(None)]
        if not others:
            return restored(kind, value, name)
    elif origin is tuple and isinstance(value, list):
        kinds = options[:1] * len(value) if options[-1] is Ellipsis else options
        if len(kinds) == len(value):
            return tuple(restored(kind, each, name) for kind, each in zip(kinds, value))
    elif origin is typing.Literal and value in options:
        return value
    elif type(value) is kind or (kind is float and type(value) is int):
        return value
    raise InputError(f"{name} cannot be {json.dumps(value)}")


def _restored_settings(kind: type, value: dict, name: str) -> object:
    kinds = typing.get_type_hints(kind)
    known = {each.name for each in dataclasses.fields(kind)}
    if unknown := sorted(value.keys() - known):
        raise InputError(f"{name} has no setting {unknown[0]!r}")
    try:
        return kind(**{key: restored(kinds[key], value[key], f"{name}.{key}") for key in value})
    except InputError:
        raise
    except (TypeError, ValueError) as error:  # what is missing, and what settings refuse themselves
        raise InputError(f"{name}: {error}") from error


def fingerprint(*parts: object) -> str:
    """A name for a stage's settings and for the fingerprints of the stages before it: equal only if all of them are."""
    text = json.dumps(plain(parts), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
