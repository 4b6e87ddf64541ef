"""Decide who owns an instance, a custom volume or a snapshot: the ownership label and its test.

Each create and each adoption writes a new random generation into the object's config and into the
state. A state acts only on an object with the state's generation: a later create, or another stack
that adopted the object, owns it from then on.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

MARK_PREFIX: Final = "user.pika."
"""The prefix of the config keys of instances and volumes that belong to pulumi_pika.

Other clients do not write them.
"""

OWNER_KEY: Final = MARK_PREFIX + "owner"
"""The key of the URN of the resource."""
RUNTIME_ID_KEY: Final = MARK_PREFIX + "runtime_id"
GENERATION_KEY: Final = MARK_PREFIX + "generation"
"""The key of the generation: a random value of one create or adoption.

It is followed by the earlier values from the same resource, latest first: `b.a`.
"""
BACKEND_KEY: Final = MARK_PREFIX + "backend"
"""The key of a digest of the Pulumi backend of the resource's stack.

Two backends can each have a stack with the same URNs.
"""

IDENTITY_KEYS: Final = frozenset({OWNER_KEY, RUNTIME_ID_KEY, GENERATION_KEY, BACKEND_KEY})
"""The keys of the ownership label. They are written last, after everything else has succeeded."""

Relation = Literal["ours", "unmarked", "other_backend", "other"]


_KEPT_GENERATIONS: Final = 8


def new_generation(earlier: str = "") -> str:
    """Return a new generation, for one create or adoption.

    Args:
        earlier: the generation that the same resource gave the object before; empty if there is
            none. Its last seven values are kept in the new one.
    """
    latest = earlier.split(".")[: _KEPT_GENERATIONS - 1] if earlier else []
    return ".".join([secrets.token_hex(8), *latest])


def is_same_or_earlier(live: str, known: str) -> bool:
    """Return whether an object's generation is one that the state knows as its own.

    It is an earlier one after a restore of an instance snapshot that is older than the last
    adoption: Incus restores the config too.

    Args:
        live: the object's generation.
        known: the generation in the state.
    """
    return live.split(".")[0] in known.split(".")


def relation(config: Mapping[str, str], owner: str, backend: str) -> Relation:
    """Return the relation of an object's ownership label to a resource without a state.

    Args:
        config: the object's config.
        owner: the URN of the resource.
        backend: the digest of its backend; empty if it is not known.

    Returns:
        `ours`: an interrupted create of this resource, or an object that it retained; `unmarked`:
            no resource owns it; `other_backend`: a stack with the same URN in another backend owns
            it; `other`: another resource owns it.
    """
    marked = config.get(OWNER_KEY, "")
    if not marked:
        return "unmarked"
    if marked != owner:
        return "other"
    known = config.get(BACKEND_KEY, "")
    # A label from before this key existed, or a program whose backend is not known.
    return "other_backend" if known and backend and known != backend else "ours"


@dataclass(frozen=True, slots=True)
class Claim:
    """Hold what a state knows of the object that it manages.

    Attributes:
        owners: the current and the earlier URNs of the resource.
        generation: the generation in the state; empty in a state from before generations existed.
        identity: a value that a new object of the same name does not share: an instance's
            ``volatile.uuid``, or the creation time of a volume or a snapshot; empty if not known.
        runtime_id: the runtime id; empty for objects without one.
        copies: whether a copy of the object can have its name and its label, as for instances.
            Another identity then always means another object.
    """

    owners: tuple[str, ...]
    generation: str = ""
    identity: str = ""
    runtime_id: str = ""
    copies: bool = True

    def holds(self, config: Mapping[str, str], identity: str) -> bool:
        """Return whether a live object is the one that the state manages.

        Args:
            config: the live object's config.
            identity: the live object's own identity.
        """
        same = bool(self.identity) and self.identity == identity
        if self.copies and self.identity and identity and not same:
            return False
        owner = config.get(OWNER_KEY, "")
        owners = [name for name in self.owners if name]
        if _is_urn(owner) and owners and owner not in owners:
            return False
        generation = config.get(GENERATION_KEY, "")
        if self.generation and generation:
            return is_same_or_earlier(generation, self.generation)
        # From here on, the label was removed by hand, or is from before generations existed.
        if same:
            return True
        if self.runtime_id:
            return config.get(RUNTIME_ID_KEY) == self.runtime_id
        return bool(owner)


def _is_urn(owner: str) -> bool:
    """Return whether the owner in a label is the URN of a resource.

    Any other value is an edit by hand, which is drift.
    """
    return owner.startswith("urn:pulumi:")


def split_urn(urn: str) -> tuple[str, str, str]:
    """Return a URN's stack and project (``urn:pulumi:STACK::PROJECT``), its type and its name."""
    parts = urn.split("::", 3)
    if len(parts) < 4:
        return "", "", urn
    return "::".join(parts[:2]), parts[2], parts[3]


def renamed_hint(owner: str, label_owner: str) -> str:
    """Return advice on an object that a resource with another name, or of a renamed stack, owns.

    Args:
        owner: the URN of the resource that declares the object now.
        label_owner: the URN in the object's ownership label.

    Returns:
        A sentence about `aliases`, or about a renamed stack; an empty string if a rename is
        unlikely.
    """
    here, kind, name = split_urn(owner)
    there, its_kind, its_name = split_urn(label_owner)
    own_type, its_type = kind.rpartition("$")[2], its_kind.rpartition("$")[2]
    if not here or not there or own_type != its_type:
        return ""
    if here != there:
        if here.rpartition("::")[2] != there.rpartition("::")[2] or name != its_name:
            return ""
        before = there.partition("::")[0].rpartition(":")[2]
        return (
            f"If this stack was renamed (its earlier name was {before}), first run `pulumi up` "
            "without replacing this resource, which updates the ownership label"
        )
    return (
        "If this resource was renamed or moved in the program, add its earlier URN: "
        f'opts=pulumi.ResourceOptions(aliases=["{label_owner}"]). Then it is changed in place, and '
        "nothing is deleted. If the program has that alias already, first run `pulumi up` without "
        "replacing this resource, which updates the ownership label"
    )
