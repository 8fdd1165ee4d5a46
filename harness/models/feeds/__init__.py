"""Realistic, seeded inputs: what a network is shown where it works, the same on every host.

Noise makes parity meaningless: a detector finds nothing in it, a recogniser reads nothing, and a wrong
engine looks right. So every kind of feed is something its models have an opinion about.

A kind is a function `(model, photo, seed) -> {input name: array}` in a file of this package and a line in
KINDS. Nothing is imported before a feed is made, because the zoo is read while tests are collected.
"""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from harness.errors import PocketbenchError, UnknownNameError
from harness.spec import Model, TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

Feed: TypeAlias = "dict[str, NDArray[Any]]"
FeedFunction: TypeAlias = "Callable[[Model, Path | None, int], Feed]"

KINDS: Final[Mapping[str, str]] = {
    "text_page": "harness.models.feeds.text:page",
    "text_line": "harness.models.feeds.text:line",
    "photo": "harness.models.feeds.photo:photo",
    "letterbox": "harness.models.feeds.photo:letterbox",
    "speech": "harness.models.feeds.sound:speech",
    "arrays": "harness.models.feeds.arrays:arrays",
    "tokens": "harness.models.feeds.tokens:tokens",
    "stand_in": "harness.models.feeds.stand_in:stand_in",
}
"""Kind, as `feed` in the zoo names it, and the function that makes it."""

NEEDS_SOURCE: Final = frozenset({"photo", "letterbox", "arrays"})
"""Kinds that are made from a file: the zoo must give `feed_source` and `feed_sha256`."""


def make_feed(model: Model, photo: Path | None = None, *, seed: int = 0) -> Feed:
    """Arrays for every input of `model`, in its shapes and dtypes.

    `photo` is the fetched `feed_source` of the model, for the kinds in NEEDS_SOURCE. Seed 0 is the feed
    that is measured and compared; other seeds give other feeds of the same kind, to calibrate on.
    Raises PocketbenchError when the kind is unknown, its file is absent or unreadable, or when what was
    made does not fit the model's inputs.
    """
    if model.feed not in KINDS:
        raise UnknownNameError("feed", model.feed, KINDS, f"model {model.name}")
    if model.feed in NEEDS_SOURCE and photo is None:
        raise PocketbenchError(
            f"model {model.name}: feed {model.feed!r} is made from a file; "
            "give feed_source and feed_sha256 in the zoo"
        )
    module, function = KINDS[model.feed].split(":")
    make = cast("FeedFunction", getattr(importlib.import_module(module), function))
    return _checked(model, make(model, photo, seed))


def _checked(model: Model, feed: Feed) -> Feed:
    wanted = {tensor.name: tensor for tensor in model.inputs}
    if feed.keys() != wanted.keys():
        raise PocketbenchError(
            f"model {model.name}: feed {model.feed!r} makes {_listed(feed)}, "
            f"but the zoo declares the inputs {_listed(wanted)}"
        )
    for name, tensor in wanted.items():
        array = feed[name]
        if array.shape != tensor.shape or array.dtype.name != tensor.dtype:
            raise PocketbenchError(
                f"model {model.name}: feed {model.feed!r} makes {name} as "
                f"{_described(TensorSpec(name=name, shape=array.shape, dtype=array.dtype.name))}, "
                f"but the zoo declares {_described(tensor)}"
            )
    return feed


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "nothing"


def _described(tensor: TensorSpec) -> str:
    return f"{tensor.dtype} {'x'.join(map(str, tensor.shape)) or 'scalar'}"
