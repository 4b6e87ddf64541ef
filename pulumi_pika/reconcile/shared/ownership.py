"""Who owns an instance, a custom volume or a snapshot: the marks, and the one test of them.

Each create, and each take-over of what is there, writes a new random generation on the thing and
into the state. A state acts only on the generation that it has: a later create or another stack
that took the thing over owns it from then on.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

MARK_PREFIX: Final = "user.pika."
"""Config keys of instances and volumes below this belong to pulumi_pika; no other client writes
them."""

OWNER_KEY: Final = MARK_PREFIX + "owner"
"""The URN of the resource."""
RUNTIME_ID_KEY: Final = MARK_PREFIX + "runtime_id"
GENERATION_KEY: Final = MARK_PREFIX + "generation"
"""A random value of one create or take-over, followed by those that the same resource gave the
thing before, latest first: `b.a`."""
BACKEND_KEY: Final = MARK_PREFIX + "backend"
"""A digest of the Pulumi backend that the resource's stack is in: two backends can each have a
stack with the same URNs."""

IDENTITY_KEYS: Final = frozenset({OWNER_KEY, RUNTIME_ID_KEY, GENERATION_KEY, BACKEND_KEY})
"""The marks that say who owns a thing. They are written last, after all else has succeeded."""

Relation = Literal["ours", "unmarked", "other_backend", "other"]


_KEPT_GENERATIONS: Final = 8


def new_generation(earlier: str = "") -> str:
    """Return the generation of one create or take-over.

    Args:
        earlier: the generation that the same resource gave the thing before; empty without one.
            The last seven of them are kept in the new one.
    """
    latest = earlier.split(".")[: _KEPT_GENERATIONS - 1] if earlier else []
    return ".".join([secrets.token_hex(8), *latest])


def is_same_or_earlier(live: str, known: str) -> bool:
    """Tell whether a thing's generation is one that the state knows as its own.

    It is an earlier one after a restore of an instance snapshot that is older than the last
    take-over: Incus restores the config with the rest.

    Args:
        live: the generation on the thing.
        known: the generation in the state.
    """
    return live.split(".")[0] in known.split(".")


def relation(config: Mapping[str, str], owner: str, backend: str) -> Relation:
    """Tell how a thing's marks relate to a resource that has no state of it.

    Args:
        config: the thing's config.
        owner: the URN of the resource.
        backend: the digest of its backend; empty if it is not known.

    Returns:
        `ours`: an interrupted create of this very resource, or a thing that it kept;
        `unmarked`: no resource owns it; `other_backend`: a stack with the same URN in another
        backend owns it; `other`: another resource owns it.
    """
    marked = config.get(OWNER_KEY, "")
    if not marked:
        return "unmarked"
    if marked != owner:
        return "other"
    known = config.get(BACKEND_KEY, "")
    # A mark of before this key existed, or a program whose backend is not known.
    return "other_backend" if known and backend and known != backend else "ours"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a state knows of the thing that it manages.

    Attributes:
        owners: the URNs that the resource has, or had.
        generation: the generation that the state has; empty in a state of before it existed.
        identity: what a new thing of the same name does not share: an instance's
            ``volatile.uuid``, the creation time of a volume or a snapshot; empty if not known.
        runtime_id: the runtime id; empty for what has none.
        copies: whether a copy of the thing can have its name and its marks, as one of an
            instance: then another identity is always another thing.
    """

    owners: tuple[str, ...]
    generation: str = ""
    identity: str = ""
    runtime_id: str = ""
    copies: bool = True

    def holds(self, config: Mapping[str, str], identity: str) -> bool:
        """Tell whether a live thing is the one that the state manages.

        Args:
            config: the live thing's config.
            identity: the live thing's own identity.
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
        # From here on: the marks were taken off by hand, or are of before generations existed.
        if same:
            return True
        if self.runtime_id:
            return config.get(RUNTIME_ID_KEY) == self.runtime_id
        return bool(owner)


def _is_urn(owner: str) -> bool:
    """Tell whether a mark names a resource; anything else is an edit by hand, which is drift."""
    return owner.startswith("urn:pulumi:")


def split_urn(urn: str) -> tuple[str, str, str]:
    """Return a URN's stack and project (``urn:pulumi:STACK::PROJECT``), its type and its name."""
    parts = urn.split("::", 3)
    if len(parts) < 4:
        return "", "", urn
    return "::".join(parts[:2]), parts[2], parts[3]


def renamed_hint(owner: str, mark: str) -> str:
    """Advise on a thing that a resource with another name of the same stack and type owns.

    Args:
        owner: the URN of the resource that declares the thing now.
        mark: the URN on the thing.

    Returns:
        A sentence about `aliases`, or about a stack that was renamed; an empty string if no rename
        is likely.
    """
    here, kind, name = split_urn(owner)
    there, its_kind, its_name = split_urn(mark)
    own_type, its_type = kind.rpartition("$")[2], its_kind.rpartition("$")[2]
    if not here or not there or own_type != its_type:
        return ""
    if here != there:
        if here.rpartition("::")[2] != there.rpartition("::")[2] or name != its_name:
            return ""
        before = there.partition("::")[0].rpartition(":")[2]
        return (
            f"If this stack was renamed (it was {before}), run `pulumi up` first without replacing "
            "this resource: that moves the mark"
        )
    return (
        "If this resource was renamed or moved in the program, declare that: "
        f'opts=pulumi.ResourceOptions(aliases=["{mark}"]); '
        "then it is changed in place and nothing is deleted. If that is declared already, run "
        "`pulumi up` first without replacing this resource: that moves the mark"
    )
