"""Build the diagram of runtimes, volumes, hosts and mounts."""

from dataclasses import dataclass, field
from typing import Any, Final

from .devices import mounts_of
from .names import natural
from .preview import (
    HOST,
    SECRET,
    UNKNOWN,
    Preview,
    Step,
    Tree,
    plain_op,
)
from .redaction import seen
from .report_model import (
    OBJECTS,
    Action,
    Change,
    Edge,
    Kind,
    Node,
    Picture,
)
from .resource_changes import host_name

_UNREADABLE: Final = (SECRET, UNKNOWN, "", None)


def picture_of(preview: Preview, changes: list[Change]) -> Picture | None:
    """Return the diagram; None if the stack has only one runtime, volume or host.

    Args:
        preview: The preview, without secrets. Unchanged resources are drawn if the preview has them
            (`--show-sames`).
        changes: The changes of the preview.
    """
    drawing = _Drawing({change.urn: change.action for change in changes})
    last: dict[str, Step] = {}
    for step in preview.steps:
        # A refresh comes first; the step after it counts.
        if step.urn.kind and (step.urn.text not in last or plain_op(step.op) != "delete"):
            last[step.urn.text] = step
    # The nodes are sorted, since the order in a preview differs between runs.
    for step in sorted(
        last.values(),
        key=lambda step: (_RANK[step.urn.kind], natural(step.urn.name), step.urn.text),
    ):
        drawing.add(step)
    declared = [node for node in drawing.nodes if node.id not in drawing.implied]
    if len(declared) < 2:
        return None
    return Picture(nodes=drawing.nodes, edges=drawing.edges)


def part_of(picture: Picture, most: int) -> Picture | None:
    """Return the nodes that change, with their volumes and hosts; None if these are too many.

    Args:
        picture: The diagram.
        most: The largest number of nodes.
    """
    if len(picture.nodes) <= most:
        return picture
    kept = {node.id for node in picture.nodes if node.action != "same"}
    for _ in range(2):  # A runtime uses a profile, which uses a network.
        kept |= {edge.volume for edge in picture.edges if edge.runtime in kept}
    kept |= {node.host for node in picture.nodes if node.id in kept}
    nodes = [node for node in picture.nodes if node.id in kept]
    if not nodes or len(nodes) > most:
        return None
    edges = [edge for edge in picture.edges if {edge.runtime, edge.volume} <= kept]
    return Picture(nodes=nodes, edges=edges)


@dataclass(frozen=True, slots=True)
class OnHost:
    """The numbers of resources on a host."""

    host: str
    """The name of the host; empty for the host that the environment names."""
    counts: dict[Kind, int]
    changing: int


def by_host(picture: Picture) -> list[OnHost]:
    """Return the numbers of runtimes, jobs and volumes on each host."""
    hosts = {node.id: node.label for node in picture.nodes if node.kind == "host"}
    found = []
    for id_, label in [("", ""), *sorted(hosts.items(), key=lambda host: natural(host[1]))]:
        there = [n for n in picture.nodes if n.host == id_ and n.kind != "host"]
        if there:
            counts: dict[Kind, int] = dict.fromkeys(COUNTED, 0)
            for node in there:
                if node.kind in counts:
                    counts[node.kind] += 1
            changing = sum(node.action != "same" for node in there)
            found.append(OnHost(label, counts, changing))
    return found


COUNTED: Final[tuple[Kind, ...]] = ("runtime", "job", "volume")
_RANK: Final = {
    HOST: 0, "project": 1, "pool": 1, "network": 1, "volume": 2, "profile": 3, "runtime": 4,
    "job": 5, "snapshot": 6,
}  # fmt: skip
"""The order in which resources are added: what others use comes first."""


@dataclass
class _Drawing:
    actions: dict[str, Action]
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    implied: set[str] = field(default_factory=set)
    """The ids of nodes that no resource declares."""
    _hosts: dict[str, str] = field(default_factory=dict)
    _volumes: dict[tuple[str, ...], str] = field(default_factory=dict)
    _objects: dict[tuple[str, ...], str] = field(default_factory=dict)
    """By kind, host, project (for profiles) and name."""

    def add(self, step: Step) -> None:
        """Add a resource to the diagram."""
        kind = step.urn.kind
        state = step.new or step.old
        inputs = state.inputs if state else {}
        if kind == HOST:
            self._hosts[step.urn.name] = self._node("host", step.urn.name, step)
            return
        host = self._host(step)
        if kind == "volume":
            name = str(inputs.get("volume_name") or UNKNOWN)
            key = (host, _text(inputs.get("project")), _text(inputs.get("storage_pool")), name)
            node = self._node("volume", _label(step.urn.name, name), step, host)
            # A volume whose name is not known yet is different from all others.
            self._volumes[(node,) if name in _UNREADABLE else key] = node
        elif kind in OBJECTS:
            object_kind: Kind = kind
            self._object(object_kind, step, host, inputs)
        elif kind in ("runtime", "job"):
            name = seen(inputs, ("plan", "identity", "instance_name"))
            runtime: Kind = "job" if kind == "job" else "runtime"
            node = self._node(runtime, _label(step.urn.name, _text(name)), step, host)
            project = _text(seen(inputs, ("plan", "incus", "project")))
            profiles = inputs.get("extra_profiles")
            extra = [_text(name) for name in profiles] if isinstance(profiles, list) else []
            for profile in (*extra, _text(seen(inputs, ("plan", "incus", "profile")))):
                self._use(node, ("profile", host, project, profile), "profile")
            pool = _text(inputs.get("storage_pool"))
            self._use(node, ("pool", host, "", pool), "storage pool")
            self._devices(node, host, inputs.get("devices"))
            for mount in mounts_of(inputs):
                self._mount(node, host, inputs, mount)

    def _object(self, kind: Kind, step: Step, host: str, inputs: Tree) -> None:
        name = _text(seen(inputs, ("plan", "name")))
        project = _text(seen(inputs, ("plan", "project"))) if kind == "profile" else ""
        node = self._node(kind, _label(step.urn.name, name), step, host)
        if name not in _UNREADABLE:
            self._objects[kind, host, project, name] = node
        if kind == "profile":
            self._devices(node, host, seen(inputs, ("plan", "devices")))

    def _devices(self, node: str, host: str, devices: Any) -> None:
        """Draw which networks and storage pools of the program the devices use."""
        for name, device in sorted(devices.items()) if isinstance(devices, dict) else ():
            if not isinstance(device, dict):
                continue
            self._use(node, ("network", host, "", _text(device.get("network"))), name)
            self._use(node, ("pool", host, "", _text(device.get("pool"))), name)

    def _use(self, node: str, used: tuple[str, ...], label: str) -> None:
        if used in self._objects:
            self.edges.append(Edge(runtime=node, volume=self._objects[used], label=label))

    def _mount(self, runtime: str, host: str, inputs: Tree, mount: Tree) -> None:
        source = _text(mount.get("source"))
        if source.startswith("/"):
            return  # A directory of the host is not a volume.
        project = _text(seen(inputs, ("plan", "incus", "project")))
        pool = _text(inputs.get("storage_pool"))
        volume = self._volume(host, project, pool, source.partition("/")[0])
        read_only = ", read-only" if mount.get("read_only") is True else ""
        label = f"{_text(mount.get('guest_path'))}{read_only}"
        self.edges.append(Edge(runtime=runtime, volume=volume, label=label))

    def _volume(self, host: str, project: str, pool: str, name: str) -> str:
        if name in _UNREADABLE:
            return self._implied("volume", name or UNKNOWN, host)
        found = [
            node
            for key, node in self._volumes.items()
            if len(key) == 4
            and (key[0], key[3]) == (host, name)
            and key[1] in ("", project, "default")
            # Without an explicit pool, the runtime uses the pool of its profile.
            and (not pool or key[2] in ("", pool))
        ]
        if found:
            return found[0]
        key = (host, project, pool, name)
        self._volumes[key] = self._implied("volume", name, host)
        return self._volumes[key]

    def _host(self, step: Step) -> str:
        name = host_name(step.host)
        if not name:
            return ""
        if name not in self._hosts:
            self._hosts[name] = self._implied("host", name, "")
        return self._hosts[name]

    def _node(self, kind: Kind, label: str, step: Step, host: str = "") -> str:
        action = self.actions.get(step.urn.text, "same")
        node = Node(id=f"n{len(self.nodes)}", kind=kind, label=label, action=action, host=host)
        self.nodes.append(node)
        return node.id

    def _implied(self, kind: Kind, label: str, host: str) -> str:
        id_ = f"n{len(self.nodes)}"
        self.nodes.append(Node(id=id_, kind=kind, label=label, action="same", host=host))
        self.implied.add(id_)
        return id_


def _label(name: str, real: str) -> str:
    return name if real in (name, "") else f"{name} ({real})"


def _text(value: Any) -> str:
    return "" if value is None else str(value)
