"""Property trees for `check` to look at: good ones, and good ones with things gone wrong in them.

The good ones come from the models themselves, so that a new field is fuzzed as well.
"""

import math
import random
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pulumi.output import Unknown as _Unknown
from pulumi.runtime.rpc import UNKNOWN
from pydantic import BaseModel, JsonValue

Path = tuple[str | int, ...]


def unknown(rng: random.Random) -> Any:
    """What is not known yet, in one of its two spellings."""
    return _Unknown() if rng.random() < 0.3 else UNKNOWN  # type: ignore[no-untyped-call]


ODD_TEXTS = (
    "", " ", "\t", "\n", "\x00", "a\x00b", "\ud800", "x\udfff", "\u202ecba", "e\u0301\u0301\u0301",
    "\ufeff", "😀" * 20, "é" * 300, "x" * 100_000, "/" * 4000, "../" * 50, "..", ".", "/", "//",
    "/a/../b", "/a/./b", "a/b", "%2e%2e", "%2f", "?x=1", "#x", "a&project=b", "a=b", "a\r\nHost: b",
    "pk-", "pk-persist-00000000", "root", "user.pika.owner", "limits.cpu", "\u2028", "\u3000",
    "null", "true", "NaN", "1e400", "0", "-1", "${x}", "{{x}}", "'", '"', "`", "\\", "[0]",
    ".a.", '["a"]', "x" * 64, "a" * 63, "-a", "a-", "123", "A_b", "١٢٣", "ﬁ", "İ",
    UNKNOWN + "x", "__provider",
)  # fmt: skip
ODD_NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 255, 256, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63, 2**70, -(2**70), 1e15, 1e16,
    1e300, -1e300, 1e308, float("1e400"), -float("1e400"), math.nan, -0.0, 0.0, 0.5, 1.0, 255.0,
    256.0, 5e-324, 4294967295.0, 4294967296.0, 600000.0, 604800.0, 604801.0,
)  # fmt: skip


def deep(rng: random.Random, levels: int) -> Any:
    """A list or map in one another, so many times."""
    value: Any = rng.choice((None, "x", 1.0, UNKNOWN))
    for _ in range(levels):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def anything(rng: random.Random, depth: int = 0) -> Any:
    """Any value that Pulumi could hand over, and some that it could not."""
    roll = rng.random()
    if roll < 0.25:
        return rng.choice(ODD_TEXTS)
    if roll < 0.5:
        return rng.choice(ODD_NUMBERS)
    if roll < 0.6:
        return rng.choice((None, True, False))
    if roll < 0.7:
        return unknown(rng)
    if roll < 0.72 and depth == 0:
        return deep(rng, rng.choice((3, 30, 90, 150, 300, 1_000, 3_000)))
    if depth > 3:
        return "leaf"
    if roll < 0.86:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {some_key(rng): anything(rng, depth + 1) for _ in range(rng.randrange(4))}


def some_key(rng: random.Random) -> str:
    return rng.choice(ODD_TEXTS) if rng.random() < 0.5 else rng.choice(("a", "type", "path", "b c"))


@dataclass
class Grammar:
    """Makes values of a model's types.

    Args:
        texts: a good text for a path of fields; None where any word will do.
    """

    texts: Callable[[Path, random.Random], Any]

    def value(self, annotation: Any, rng: random.Random, at: Path = ()) -> Any:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self.value(arguments[0], rng, at)
        given = self.texts(at, rng)
        if given is not None:
            return given
        if annotation is JsonValue:
            return rng.choice(("json", 1.0, [1.0, {"a": "b"}], True, {"k": "v"}))
        if origin in (Union, types.UnionType):
            return self.value(rng.choice([a for a in arguments if a is not type(None)]), rng, at)
        if origin is Literal:
            return rng.choice(arguments)
        if origin is list:
            return [self.value(arguments[0], rng, (*at, i)) for i in range(rng.randrange(3))]
        if origin is dict:
            keys = [f"key{i}" for i in range(rng.randrange(3))]
            return {key: self.value(arguments[1], rng, (*at, key)) for key in keys}
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return self.fields(annotation, rng, at, 0.5)
        if annotation is bool:
            return rng.random() < 0.5
        if annotation in (int, float):
            # Pulumi's wire has one kind of number.
            return float(rng.randrange(1, 200))
        return "-".join(map(str, at[-2:])).replace("_", "-") or "text"

    def fields(
        self, model: type[BaseModel], rng: random.Random, at: Path, share: float
    ) -> dict[str, Any]:
        """A map with the required fields and a share of the others."""
        return {
            name: self.value(info.annotation, rng, (*at, name))
            for name, info in model.model_fields.items()
            if info.is_required() or rng.random() < share
        }


def mutate(tree: dict[str, Any], rng: random.Random) -> None:
    """Replaces, removes, adds or makes unknown one thing in a tree."""
    places = _places(tree)
    if not places:
        return
    parent, key = rng.choice(places)
    roll = rng.random()
    if roll < 0.45:
        parent[key] = anything(rng)
    elif roll < 0.6:
        parent[key] = unknown(rng)
    elif roll < 0.7:
        del parent[key]
    elif isinstance(parent, dict) and roll < 0.85:
        parent[some_key(rng)] = anything(rng)
    elif isinstance(parent, dict):
        parent[rng.choice(ODD_TEXTS)] = parent.pop(key)
    else:
        parent.insert(rng.randrange(len(parent) + 1), rng.choice(parent))


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            found.append((node, key))
            if isinstance(node[key], dict | list) and depth < 6:
                stack.append((node[key], depth + 1))
    return found
