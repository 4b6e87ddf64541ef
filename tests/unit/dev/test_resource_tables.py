"""The tables of a resource that nobody told the tool of: all kinds of arguments."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict, Unpack

import pulumi
import pytest

from dev import resource_tables
from dev.resource_tables import arguments, outputs, page_name, parts


class RuleArgs(TypedDict):
    """One rule."""

    action: pulumi.Input[Literal["allow", "drop"]]
    """What happens. Change: in place."""
    ports: NotRequired[pulumi.Input[Sequence[pulumi.Input[int]]]]
    """The ports. Default: all. Change: in place."""


class PeerArgs(TypedDict, total=False):
    """One peer."""

    rules: pulumi.Input[Sequence[pulumi.Input[RuleArgs]]]
    """Its rules; see `RuleArgs` for the defaults. Change: in place."""


class FenceArgs(TypedDict, total=False):
    """The optional arguments."""

    peers: pulumi.Input[Mapping[str, pulumi.Input[PeerArgs]]] | None
    """The peers by name; see `PeerArgs`. Default: none. Change: replaces the fence | all of it."""
    limits: pulumi.Input[Mapping[str, pulumi.Input[float]]] | None
    """The limits. Default: none. Change: in place."""


class Fence(pulumi.CustomResource):
    """A fence."""

    height: pulumi.Output[float | None]
    """The height."""
    gates: pulumi.Output[list[dict[str, Any]]]
    """The gates."""

    def __init__(
        self,
        resource_name: str,
        *,
        height: pulumi.Input[float],
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[FenceArgs],
    ) -> None:
        """Declare a fence.

        Args:
            resource_name: The name of the resource.
            height: The height in metres, from 1. Change: in place.
            opts: Pulumi's resource options.
            arguments: All other arguments are optional.
        """


ROWS = {row.path: row for row in arguments(Fence)}
PARTS = {part.path: part for part in parts(Fence)}


def test_arguments_come_in_the_order_of_the_constructor_and_options_last() -> None:
    assert list(ROWS) == ["resource_name", "height", "peers", "limits", "opts"]


@pytest.mark.parametrize(
    ("path", "type_", "default"),
    [
        ("resource_name", "string", "required"),
        ("height", "number", "required"),
        ("peers", "[mapping of mappings](#peers)", "none"),
        ("limits", "mapping of numbers", "none"),
        ("opts", "`ResourceOptions`", "none"),
    ],
)
def test_types_and_defaults(path: str, type_: str, default: str) -> None:
    assert (ROWS[path].type, ROWS[path].default) == (type_, default)


def test_texts_are_without_the_names_of_classes() -> None:
    assert ROWS["peers"].text == "The peers by name."
    assert ROWS["peers"].change == "replaces the fence | all of it"
    assert ROWS["height"].text == "The height in metres, from 1."


def test_fields_are_found_in_mappings_and_lists_at_any_depth() -> None:
    assert list(PARTS) == ["peers.*", "peers.*.rules[]"]
    (rules,) = PARTS["peers.*"].rows
    action, ports = PARTS["peers.*.rules[]"].rows
    assert rules.type == "[list of mappings](#peers-rules)"
    assert rules.default == "see its fields"
    assert (action.path, action.type) == (
        "peers.*.rules[].action",
        "one of `allow`, `drop`",
    )
    assert (action.default, action.anchor) == ("required", "peers-rules-action")
    assert (ports.type, ports.default) == ("list of integers", "all")


def test_a_docstring_without_default_leaves_the_cell_empty() -> None:
    """So that the test of the pages finds it."""
    assert resource_tables._row("x", str, "A thing. Change: in place.", False).default == ""


def test_an_argument_with_fields_leaves_the_anchor_to_their_heading() -> None:
    assert ROWS["peers"].anchor == ""
    assert ROWS["limits"].anchor == "limits"


def test_outputs() -> None:
    assert [(row.name, row.type) for row in outputs(Fence)] == [
        ("height", "number"),
        ("gates", "list of mappings"),
    ]


def test_the_page_of_a_resource_has_its_name() -> None:
    assert page_name("VolumeSnapshot") == "volume-snapshot.md"
    assert page_name("Fence") == "fence.md"
