"""Values that trainers save, converted to tensors and plain values, which a file without code can hold.

A model file is read by plain `torch.load(weights_only=True)`: in it arrays are tensors and everything else is plain.
A checkpoint is read by us alone: `restored` gives back what `for_checkpoint` was given, arrays as arrays.
"""

import datetime as dt
import io
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from traind.trainer.contract.values import DEPTH_MAX, NotPlain, a_kind, plain

PLAIN = frozenset({Tensor, torch.nn.Parameter, int, float, bool, str, bytes, type(None)})
_AS_THEY_ARE = (
    Tensor,
    torch.dtype,
    torch.device,
    torch.Size,
    bytearray,
    complex,
)  # types that torch loads with weights_only
KIND = "traind:kind"  # marks a dict in a checkpoint that encodes another value


def is_plain(tree: Any) -> bool:
    """Return whether a tree has only values that load again without conversion."""
    kind = type(tree)
    if kind in PLAIN:
        return True
    if kind is dict or kind is OrderedDict:
        return all(type(key) in PLAIN for key in tree) and all(map(is_plain, tree.values()))
    return kind in (list, tuple) and all(map(is_plain, tree))


def for_model(tree: Any, where: str = "") -> Any:
    """Return a tree as tensors and plain values, as a model file holds it. Raises `NotPlain`."""
    return _stored(tree, where, _plain_leaf, DEPTH_MAX)


def for_checkpoint(tree: Any, where: str = "") -> Any:
    """Return a tree as tensors, plain values and marked dicts, from which `restored` makes it again.

    Raises `NotPlain`.
    """
    return _stored(tree, where, _marked_leaf, DEPTH_MAX)


def restored(tree: Any) -> Any:
    """Return the tree that `for_checkpoint` converted."""
    if isinstance(tree, dict):
        if KIND in tree:
            return _FROM_MARKED[tree[KIND]](tree)
        for key, value in tree.items():
            tree[key] = restored(value)
        return tree
    if type(tree) in (list, tuple):
        return type(tree)(restored(item) for item in tree)
    return tree


Leaf = Callable[[Any, str, int], Any]


def _stored(value: Any, where: str, leaf: Leaf, depth: int) -> Any:
    if is_plain(value) or isinstance(value, _AS_THEY_ARE):
        return value
    if depth == 0:
        raise NotPlain(f"is nested more than {DEPTH_MAX} deep, or holds itself", where)
    if isinstance(value, torch.nn.Module):
        raise NotPlain(f"is {a_kind(value)}: give its state_dict()", where)
    if type(value) in (dict, OrderedDict) or (isinstance(value, dict) and leaf is _plain_leaf):
        kind = OrderedDict if isinstance(value, OrderedDict) else dict
        return kind(
            (_key(key, where), _stored(inner, f"{where}[{key!r}]", leaf, depth - 1)) for key, inner in value.items()
        )
    if type(value) in (list, tuple):
        return type(value)(_stored(inner, f"{where}[{n}]", leaf, depth - 1) for n, inner in enumerate(value))
    return leaf(value, where, depth)


def _key(key: Any, where: str) -> Any:
    if type(key) in PLAIN:
        return key
    if isinstance(key, tuple):
        return tuple(_key(part, where) for part in key)
    return plain(key, f"{where}: the key {key!r}")


def _plain_leaf(value: Any, where: str, depth: int) -> Any:
    """Return another value as a tensor or plain value."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return torch.from_numpy(np.array(value))
    if isinstance(value, deque | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [_stored(inner, f"{where}[{n}]", _plain_leaf, depth - 1) for n, inner in enumerate(items)]
    return _loadable(value, where, plain)


def _marked_leaf(value: Any, where: str, depth: int) -> Any:
    """Return another value as a marked dict, from which `restored` makes it again."""
    match value:
        case np.ndarray() if value.dtype.kind in "biufc":
            return {KIND: "array", "tensor": torch.from_numpy(np.array(value))}
        case np.generic() if value.dtype.kind in "biufc":
            return {KIND: "scalar", "tensor": torch.from_numpy(np.array(value))}
        case deque():
            return {
                KIND: "deque",
                "items": _stored(list(value), where, _marked_leaf, depth - 1),
                "maxlen": value.maxlen,
            }
        case set() | frozenset():
            items = _stored(sorted(value, key=repr), where, _marked_leaf, depth - 1)
            return {KIND: type(value).__name__, "items": items}
        case PurePath():
            return {KIND: "path", "path": str(value)}
        case dt.datetime():
            return {KIND: "datetime", "iso": value.isoformat()}
        case dt.timedelta():
            return {KIND: "timedelta", "parts": [value.days, value.seconds, value.microseconds]}
    return _loadable(value, where, _refused)


def _refused(value: Any, where: str) -> Any:
    raise NotPlain(f"is {a_kind(value)}: a checkpoint keeps tensors, arrays and plain values", where)


def _loadable(value: Any, where: str, otherwise: Callable[[Any, str], Any]) -> Any:
    """Return a value that torch itself says it can load again; others as `otherwise` has it."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception:  # noqa: BLE001 - pickling runs other people's code
        return otherwise(value, where)
    return value


_FROM_MARKED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "array": lambda marked: marked["tensor"].numpy(),
    "scalar": lambda marked: marked["tensor"].numpy()[()],
    "deque": lambda marked: deque(restored(marked["items"]), marked["maxlen"]),
    "set": lambda marked: set(restored(marked["items"])),
    "frozenset": lambda marked: frozenset(restored(marked["items"])),
    "path": lambda marked: Path(marked["path"]),
    "datetime": lambda marked: dt.datetime.fromisoformat(marked["iso"]),
    "timedelta": lambda marked: dt.timedelta(*marked["parts"]),
}
