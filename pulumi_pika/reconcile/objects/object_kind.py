"""Define what the kinds of config objects have in common, and where they can differ."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from ...incus.client import IncusClient
from ...incus.config_objects import create_object, delete_object
from ...message_templates import (
    INVALID_VALUE,
    Message,
    conflict,
    invalid_value,
    reserved,
)
from ...text_safety import one_line
from ..instances.runtime_options import OptionProblem
from ..shared.ownership import MARK_PREFIX
from ..volumes.volume_options import name_problems
from .live_object import LiveObject
from .object_plan import ObjectOptions, ObjectPlan, Path

Options = TypeVar("Options", bound=ObjectOptions)
AnyKind: TypeAlias = "ObjectKind[Any]"


@dataclass(frozen=True, slots=True)
class Need:
    """Name another object that an object needs on the host.

    Attributes:
        path: the argument that names it.
        noun: what it is, such as `storage pool`.
        collection: the last part of the path of its collection.
        name: its name.
    """

    path: Path
    noun: str
    collection: str
    name: str


class ObjectKind(Generic[Options]):
    """Describe one kind of config object: its arguments, its plan and Incus's rules for it.

    A subclass for each kind sets the class variables, and overrides the methods whose rule differs.
    Its single instance is shared by all calls and has no state.
    """

    noun: ClassVar[str]
    """What the object is called in messages, such as `profile`."""
    collection: ClassVar[str]
    """The last part of the path of its collection in Incus's API."""
    command: ClassVar[str]
    """The command of the Incus client for it, such as `incus profile`."""
    in_project: ClassVar[bool] = False
    """Whether it is in a project, which the argument `project` then names."""
    has_devices: ClassVar[bool] = False
    """Whether it has devices."""
    can_be_renamed: ClassVar[bool] = True
    """Whether Incus can rename it."""
    can_be_copied: ClassVar[bool] = False
    """Whether a client of Incus can copy it with its config, so that two objects have its label."""
    permanent: ClassVar[frozenset[str]] = frozenset()
    """The names of those that Incus itself creates and never deletes."""
    model: type[Options]
    """The model of its arguments."""
    arguments: ClassVar[Mapping[str, Path]] = {}
    """The part of the plan that each argument of its own sets, such as
    `{"vcpu_count": ("config", "limits.cpu")}`."""

    revealing: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The outputs that reveal something about an argument, by the name of the argument."""

    def plan(self, options: Options) -> ObjectPlan:
        """Return the plan of the arguments."""
        raise NotImplementedError

    def find_problems(self, options: Options) -> Iterator[OptionProblem]:
        """Find values that Incus would refuse. No server is asked."""
        yield from name_problems(("name",), options.name)
        yield from self.find_config_problems(options)

    def find_host_problems(self, client: IncusClient, options: Options) -> Iterator[OptionProblem]:
        """Find what a host cannot do.

        Args:
            client: a client in the object's project.
            options: the arguments.

        Raises:
            IncusError: the host could not be asked.
        """
        del client, options
        return iter(())

    def needs(self, options: Options) -> Iterator[Need]:
        """Return the other objects that must exist on the host before this one is created."""
        del options
        return iter(())

    def is_same(self, key: str, wanted: str, config: Mapping[str, str]) -> bool:
        """Return whether a config key of a live object, or of another plan, is as wanted.

        Args:
            key: the key.
            wanted: its value in the plan.
            config: the config of the live object, or of the other plan.
        """
        return wanted == config.get(key)

    def keeps(self, key: str) -> bool:
        """Return whether a config key stays on the host after the program drops it.

        Such a key has a value in any case, which Incus itself chooses at the creation.
        """
        del key
        return False

    def is_fixed(self, key: str) -> bool:
        """Return whether only a replacement can change a config key."""
        del key
        return False

    def is_of_member(self, key: str) -> bool:
        """Return whether each member of a cluster has a value of its own for a config key.

        Such a key is not in the cluster's view of the object.
        """
        del key
        return False

    def refused_change(self, old: ObjectPlan, new: ObjectPlan) -> Iterator[OptionProblem]:
        """Find the changes that an existing object cannot take, although none of its values is
        wrong.

        Args:
            old: the plan in the state.
            new: the desired plan.
        """
        del old, new
        return iter(())

    def needs_no_users(self, old: ObjectPlan, new: ObjectPlan) -> list[str]:
        """Return the changed parts that Incus changes in place only while nothing uses the object.

        Args:
            old: the plan in the state.
            new: the desired plan.
        """
        del old, new
        return []

    def refusal(self, live: LiveObject) -> str:
        """Return why an existing object can never be managed; empty if it can be."""
        del live
        return ""

    def is_hidden(self, key: str) -> bool:
        """Return whether a config key is not among the unmanaged keys that an output lists.

        Incus's own notes are hidden, and so is the ownership label.
        """
        return key.startswith((MARK_PREFIX, "volatile."))

    def users(self, live: LiveObject) -> tuple[str, ...]:
        """Return the URLs of the users because of which Incus does not delete the object."""
        return live.used_by

    def create(self, client: IncusClient, plan: ObjectPlan, config: Mapping[str, str]) -> None:
        """Create the object.

        Args:
            client: a client in its project.
            plan: the plan.
            config: the config of the plan, with the ownership label.
        """
        create_object(client, self.collection, self.body(plan, config))

    def delete(self, client: IncusClient, name: str) -> None:
        """Delete the object, which has no users."""
        delete_object(client, self.collection, name)

    def body(self, plan: ObjectPlan, config: Mapping[str, str]) -> dict[str, Any]:
        """Return the body of the request that creates the object."""
        body: dict[str, Any] = {
            "name": plan.name,
            **plan.fixed,
            "description": plan.description or "",
            "config": dict(config),
        }
        if self.has_devices:
            body["devices"] = {name: dict(device) for name, device in plan.devices.items()}
        return body

    def outputs(self, live: LiveObject) -> dict[str, Any]:
        """Return the outputs of this kind that are not arguments."""
        del live
        return {}

    def where(self, plan: ObjectPlan) -> str:
        """Return the object's name and place, for messages."""
        return f"{self.noun} {plan.name}" + (f" (project {plan.project})" if plan.project else "")

    def shell(self, verb: str, plan: ObjectPlan, *more: str, name: str = "") -> str:
        """Return a command of the Incus client on the object, to paste.

        Args:
            verb: the subcommand, such as `delete`.
            plan: the plan of the object.
            more: further words after the name.
            name: another name than that of the plan.
        """
        words = [quote(word) for word in (name or plan.name, *more)]
        at = ["--project", quote(plan.project)] if plan.project else []
        return f"`{' '.join([self.command, verb, *at, *words])}`"

    def find_config_problems(self, options: Options) -> Iterator[OptionProblem]:
        """Find keys of `config` that are not to be set there, and values that mean nothing."""
        by_argument = {
            path[1]: argument
            for argument, path in self.arguments.items()
            if path[0] == "config" and getattr(options, argument) is not None
        }
        for key, value in options.config.items():
            where = ("config", key)
            if argument := by_argument.get(key):
                yield where, conflict(f"the argument `{argument}`")
            elif problem := config_problem(key, value):
                yield where, problem

    def find_member_problems(
        self, members: Mapping[str, Mapping[str, str]]
    ) -> Iterator[OptionProblem]:
        """Find keys of `member_config` that are the same for the whole cluster."""
        for member, config in members.items():
            for key, value in config.items():
                where = ("member_config", member, key)
                if problem := config_problem(key, value):
                    yield where, problem
                elif not self.is_of_member(key):
                    rule = "all members of a cluster have the same value; set it in `config`"
                    yield where, invalid_value(key, "key of a member", rule)

    def config_of(self, options: Options) -> dict[str, str]:
        """Return `config` with the keys of the arguments that set a single key."""
        config = dict(options.config)
        for argument, path in self.arguments.items():
            value = getattr(options, argument)
            if path[0] == "config" and value is not None:
                config[str(path[1])] = config_text(value)
        return config


def config_problem(key: str, value: str) -> str:
    """Return what is wrong with a config key and its value; empty if nothing is."""
    if key.startswith(MARK_PREFIX):
        return reserved("pulumi_pika", f"the keys below `{MARK_PREFIX}` are the ownership label")
    if key.startswith("volatile."):
        return reserved("Incus", "remove the keys below `volatile.`")
    if not key or not key.isprintable() or key != key.strip():
        rule = "it has control characters, or blanks at its ends"
        return invalid_value(one_line(key, 100), "config key", rule)
    if value == "":
        return invalid_value("", "value", "Incus treats an empty value as not set; remove the key")
    if "\0" in value:
        # The value may be a secret, and is not shown.
        return Message("must not contain the character NUL", INVALID_VALUE)
    return ""


def config_text(value: Any) -> str:
    """Return a value as Incus's config has it: `true` and `false`, else as it is written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def place_problems(fields: Iterable[tuple[str, str | None]]) -> Iterator[OptionProblem]:
    """Find what is wrong with the names of other objects, such as the project.

    Args:
        fields: the arguments and their values; None for an argument that is not set.
    """
    for argument, value in fields:
        if value is None:
            continue
        if not value.strip():
            yield (argument,), invalid_value("", "name", "set a name that is not empty")
        elif value in (".", "..") or "/" in value or not value.isprintable():
            rule = "remove slashes and control characters"
            yield (argument,), invalid_value(one_line(value, 100), "name", rule)
