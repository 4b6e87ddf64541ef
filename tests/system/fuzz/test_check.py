"""`check` and `diff` with whatever could be handed to them: an answer each time, and never another
one for the same question."""

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
from pulumi.output import Unknown
from pulumi.runtime import rpc
from pulumi.runtime.rpc import UNKNOWN

from pulumi_pika.validation.property_tree import is_unknown

from .generate import mutate, unknown
from .subjects import SUBJECTS, Subject

# In all more than 20,000 inputs of IncusRuntime.
MUTATED = {
    "IncusRuntime": 20_000,
    "IncusJob": 5_000,
    "PersistentVolume": 3_000,
    "VolumeSnapshot": 2_000,
}
GOOD = 250
PAIRS = 600


def subjects() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


def flat(tree: Any) -> Iterator[tuple[Any, ...]]:
    """All that is in a tree, in an order, however deep it is: for comparisons that tell 1 from 1.0
    and find NaN like NaN."""
    stack: list[tuple[Any, Any]] = [((), tree)]
    while stack:
        key, node = stack.pop()
        if isinstance(node, dict):
            yield key, "map", len(node)
            stack.extend(node.items())
        elif isinstance(node, list):
            yield key, "list", len(node)
            stack.extend(enumerate(node))
        elif isinstance(node, Unknown):
            yield key, "Unknown"
        else:
            yield key, type(node).__name__, repr(node)


def inputs_of(subject: Subject, seed: int) -> dict[str, Any]:
    """Inputs with something wrong in them; always the same for a seed."""
    rng = random.Random(f"{subject.name}-{seed}")
    return spoil(subject.good(rng), rng, rng.choice((1, 1, 2, 3, 6)))


def spoil(tree: dict[str, Any], rng: random.Random, times: int) -> dict[str, Any]:
    # Made by the resource, not by its user.
    own = {"secret_inputs": tree.pop("secret_inputs")}
    for _ in range(times):
        mutate(tree, rng)
    return {**tree, **own}


def find_text(tree: Any, text: str) -> Any:
    """What a property path leads to in inputs; only where no key needs quoting."""
    for step in text.replace("[", ".").replace("]", "").split("."):
        if isinstance(tree, dict):
            tree = tree.get(step)
        elif isinstance(tree, list) and step.isdigit() and int(step) < len(tree):
            tree = tree[int(step)]
        else:
            return None
    return tree


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def on_the_wire(tree: dict[str, Any], loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """The tree as the engine hands it back."""
    message = loop.run_until_complete(rpc.serialize_properties(tree, {}))
    back: dict[str, Any] = plain(rpc.deserialize_properties(message, True))
    return back


def plain(tree: Any) -> Any:
    """Without marks of secrets: the engine takes them off for dynamic providers."""
    if rpc.is_rpc_secret(tree):
        return plain(rpc.unwrap_rpc_secret(tree))
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    return [plain(value) for value in tree] if isinstance(tree, list) else tree


@subjects()
def test_any_input_is_answered(subject: Subject, loop: asyncio.AbstractEventLoop) -> None:
    refused = planned = 0
    for seed in range(MUTATED[subject.name]):
        given = inputs_of(subject, seed)
        before = list(flat(given))
        try:
            answer = subject.check(given)
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        assert list(flat(given)) == before, f"seed {seed}: the inputs were changed"

        said = [(failure.property, failure.reason) for failure in answer.failures]
        if seed % 4 == 0:
            again = subject.check(inputs_of(subject, seed))
            assert said == [(f.property, f.reason) for f in again.failures], f"seed {seed}"
            assert list(flat(answer.inputs)) == list(flat(again.inputs)), f"seed {seed}"
        for path, reason in said:
            assert path or "nested too deeply" in reason or _names_an_input(reason, given), (
                f"seed {seed}: nowhere: {reason!r}"
            )
            assert reason.strip(), f"seed {seed}: {path!r}: no reason"
            assert len(reason) < 5_000
            assert "placeholder" not in reason, f"seed {seed}: {path}: {reason}"
            # Told of the whole, it is not about a property whose name is empty.
            quoted = not path or '"' in path
            if not quoted and "known here:" not in reason and "did you mean" not in reason:
                value = find_text(given, path)
                assert not is_unknown(value), (
                    f"seed {seed}: {path} is not known, and refused: {reason}"
                )
        refused += bool(said)
        planned += not said
        if seed % 8 == 0 or not said:
            try:
                on_the_wire(answer.inputs, loop)
            except Exception as error:
                raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    # Neither all nor nothing is refused, or little is tried.
    assert refused > MUTATED[subject.name] / 10
    assert planned > MUTATED[subject.name] / 10


@pytest.mark.parametrize("levels", [101, 150, 400, 1_000, 5_000])
def test_what_no_wire_carries_is_refused_whoever_calls(levels: int) -> None:
    """Python's own limit would depend on how deep the caller is."""
    for subject, field in zip(
        SUBJECTS, ("metadata", "triggers", "labels", "triggers"), strict=True
    ):
        value: Any = {}
        for _ in range(levels):
            value = {"a": value}
        given = {**subject.good(random.Random(1)), field: value}
        (failure,) = subject.check(given).failures
        assert "nested too deeply" in failure.reason


def _names_an_input(reason: str, given: dict[str, Any]) -> bool:
    # Where an argument is secret, its name is in the reason, since the engine would show its value.
    return reason.partition(" ")[0] in given or reason.startswith(("identity is", "volume_name is"))


@subjects()
def test_good_input_is_planned_whatever_of_it_is_unknown(
    subject: Subject, loop: asyncio.AbstractEventLoop
) -> None:
    for seed in range(GOOD):
        rng = random.Random(f"good-{subject.name}-{seed}")
        given = subject.good(rng)
        answer = subject.check(given)
        assert answer.failures == [], f"seed {seed}: {[vars(f) for f in answer.failures]}"
        wire = on_the_wire(answer.inputs, loop)
        again = subject.check(wire)
        assert again.failures == [], f"seed {seed}: its own answer is refused"
        for _ in range(6):
            given = _with_unknown(given, rng)
            answer = subject.check(given)
            said = [vars(failure) for failure in answer.failures]
            assert said == [], f"seed {seed}: {given}"
            on_the_wire(answer.inputs, loop)


def _with_unknown(tree: Any, rng: random.Random) -> Any:
    """A copy with one more value that is not known."""
    if isinstance(tree, dict) and tree:
        chosen = rng.choice(
            [key for key in tree if key not in ("owner", "secret_inputs")] or [None]
        )
        if chosen is None or (rng.random() < 0.2 and "owner" not in tree):
            return UNKNOWN
        return {k: _with_unknown(v, rng) if k == chosen else v for k, v in tree.items()}
    if isinstance(tree, list) and tree and rng.random() < 0.9:
        chosen_index = rng.randrange(len(tree))
        return [_with_unknown(v, rng) if i == chosen_index else v for i, v in enumerate(tree)]
    return unknown(rng)


@subjects()
def test_any_two_inputs_are_compared(subject: Subject, loop: asyncio.AbstractEventLoop) -> None:
    compared = changed = 0
    for seed in range(PAIRS):
        rng = random.Random(f"pair-{subject.name}-{seed}")
        old = on_the_wire(subject.check(subject.good(rng)).inputs, loop)
        state = {**old, **subject.outputs}
        given = spoil(subject.good(rng), rng, rng.randrange(3))
        checked = subject.check(given)
        if checked.failures:
            continue
        news = on_the_wire(checked.inputs, loop)
        before = list(flat(state)), list(flat(news))
        answer = subject.diff(state, news)
        assert (list(flat(state)), list(flat(news))) == before, f"seed {seed}: changed"
        assert answer.changes in (True, False)
        assert vars(subject.diff(state, news)) == vars(answer), f"seed {seed}: another answer"
        if answer.replaces:
            assert answer.changes, f"seed {seed}: replaced for nothing"
        # An instance in the state of its own inputs needs nothing.
        assert not subject.diff(state, old).replaces, f"seed {seed}: replaced by itself"
        compared += 1
        changed += bool(answer.changes)
    assert compared > PAIRS / 4
    assert changed > PAIRS / 8
