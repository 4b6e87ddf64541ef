"""The page of errors has the messages that the product has, and shows them as users meet them."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from inspect import signature
from itertools import pairwise
from pathlib import Path
from types import FunctionType
from typing import Any, Final

import pytest
from markdown_it import MarkdownIt

from dev.paths import ROOT
from pulumi_pika import message_templates as templates
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.incus.storage import create_volume

from ...conftest import IMAGE, Sandbox
from ...support.command_line import (
    call,
    environment,
    spec_of,
)
from ...support.provider_calls import runtime_calls as calls
from ...support.provider_engine import wire
from ...support.stack import Stack, make_stack

PAGE: Final = ROOT / "docs" / "troubleshooting.md"
OF_OTHERS: Final = "Messages of Pulumi, Python and Incus"
VARIES: Final = "…"
_FEWEST: Final = 8
"""Letters that a heading has to have of its message, to be one that can be found."""


@cache
def headings() -> tuple[tuple[str, str], ...]:
    """The section and the text of each entry."""
    found, section = [], ""
    tokens = MarkdownIt().parse(PAGE.read_text())
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        if opening.tag == "h2":
            section = inline.content
        elif opening.tag == "h3":
            code = (inline.children or [])[0]
            assert code.type == "code_inline", f"a heading that is no message: {inline.content}"
            found.append((section, code.content))
    return tuple(found)


def parts(heading: str) -> list[str]:
    return [part for part in heading.split(VARIES) if part.strip()]


def is_in(heading: str, text: str) -> bool:
    """Whether a text has a heading's constant parts, in their order."""
    return re.search(".*?".join(map(re.escape, parts(heading))), text, re.DOTALL) is not None


@cache
def messages() -> tuple[str, ...]:
    """All texts of the product's sources, with what varies left open."""
    found: set[str] = set()
    for path in (ROOT / "pulumi_pika").rglob("*.py"):
        found.update(_texts(ast.parse(path.read_text())))
    return tuple(sorted(found))


def _texts(tree: ast.AST) -> Iterator[str]:
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp | ast.Call)
            and id(node) not in docs
        ):
            text = _text(node)
            if any(character.isalpha() for character in text):
                yield text


class _Open(float):
    """A number of which nothing is known."""

    def __format__(self, spec: str) -> str:
        return VARIES


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else VARIES
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.Call):
        return _rendered(node)
    return VARIES


def _rendered(call: ast.Call) -> str:
    """The message that a call of a template makes; what varies is open."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "at":
        return f"{_text(call.args[0])} {_text(call.func.value)}" if call.args else VARIES
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    template = getattr(templates, name, None)
    if template is templates.Message and call.args:
        return _text(call.args[0])
    if not isinstance(template, FunctionType):
        return VARIES
    given: dict[str, ast.expr] = {one.arg: one.value for one in call.keywords if one.arg}
    given |= dict(zip(signature(template).parameters, call.args, strict=False))
    texts = {name: _Open() if name == "seconds" else _text(of) for name, of in given.items()}
    try:
        signature(template).bind(**texts)
    except TypeError:  # Another function of that name, such as `Path.exists`.
        return VARIES
    return str(template(**texts))


def test_messages_of_the_page_are_the_products() -> None:
    unknown = [
        heading
        for section, heading in headings()
        if section != OF_OTHERS and not any(is_in(heading, text) for text in messages())
    ]
    assert unknown == []


def test_messages_can_be_found_by_their_headings() -> None:
    texts = [heading for _, heading in headings()]
    assert len(set(texts)) == len(texts)
    assert [text for text in texts if len("".join(parts(text))) < _FEWEST] == []


def test_a_message_that_changed_would_be_seen() -> None:
    assert is_in("… does not exist at …", "…x does not exist at …, y")
    assert not is_in("… does not exist at …", "… did not exist at …")
    assert not is_in("a … b", "b … a")
    tree = ast.parse('"""doc"""\nx = f"one {a} two " "three " + ("four" if b else "five")')
    assert "one … two three …" in set(_texts(tree))
    tree = ast.parse('raise E(missing(f"pool {a}", "at h", timed_out(x, "y", 5, z)).at("w:"))')
    assert "w: pool … does not exist at h; … did not reach y within … s; …" in set(_texts(tree))
    called = ast.parse('raise X(timed_out(f"box {a}", state, 3, advice="go"))')
    assert "box … did not reach … within … s; go" in set(_texts(called))
    assert "doc" not in set(_texts(tree))


def shown(text: str, *expected: str) -> None:
    """That a text shows messages, each of which the page has an entry for."""
    known = {heading for _, heading in headings()}
    for heading in expected:
        assert heading in known, f"the page has no entry for: {heading}"
        assert is_in(heading, text), f"{heading}\nis not in\n{text}"


def runtime(name: str, **more: Any) -> dict[str, Any]:
    return {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        "instance_type": "container",
        **more,
    }


def mount(source: str, **more: Any) -> dict[str, Any]:
    given = {"kind": "persistent_volume", "guest_path": "/data", "mode": "read_write", **more}
    return {**given, "source": source}


def test_what_a_preview_says(sandbox: Sandbox, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))
    there = {"project": "default", "profile": "default", "image_alias": IMAGE}
    twice = [mount("/tmp/a"), mount("/tmp/b")]
    alike = [mount("/a/b", guest_path="/c"), mount("/a-b", guest_path="/c-")]
    wrong: tuple[dict[str, Any], ...] = (
        {"identity": {"runtime_id": " ", "instance_name": name, "name": "x"}},
        {"identity": {"runtime_id": "x", "instance_name": "no_name"}},
        {"lifecycle_root": "/elsewhere"},
        {"bootstrap": {"guest_request_path": "/run/pika-cloud/other.json"}},
        {"mounts": [mount("/tmp", guest_path="data")]},
        {"mounts": twice},
        {"mounts": alike},
        {"mounts": [mount("data/../x")]},
        {
            "config": {"limits.cpu": "1", "volatile.x": "1", "user.pika.owner": "me", "user.x": ""},
            "devices": {"pk-mine": {"type": "nic"}},
        },
        {"restart_triggers": "now", "running": False},
        {"incus": {**there, "profile": "no-such"}},
        {"incus": {**there, "image_alias": "no/such"}},
        {"incus": {**there, "project": "no-such"}},
        {"storage_pool": "no-such"},
        {"instance_type": "virtual-machine"},
    )

    said = "\n".join(
        failure.reason
        for more in wrong
        for failure in calls.check(wire(runtime(name, **more)), None).failures
    )

    shown(
        said,
        "runtime spec field … must be non-empty",
        "runtime spec path … is invalid: …",
        "runtime spec lifecycle_root … must match paths.state_dir …",
        "runtime spec bootstrap guest_request_path … must match paths.guest_request_path …",
        "runtime spec mount guest_path … must be unique",
        "runtime spec mounts … and … get the same device name …",
        "is not a field of …",
        "is not a valid instance name: use 1-63 letters, digits or hyphens; no leading or trailing "
        "hyphen; not digits only",
        "is not a valid mount source: …",
        "names that begin with … are devices of mounts; choose another name",
        "is managed by pulumi_pika; set … instead",
        "is managed by pulumi_pika; keys below … store the ownership label; …",
        "is managed by Incus; …",
        "must be non-empty: for Incus, an empty value is unset; remove the key",
        "conflicts with …; remove one of them",
        "profile … does not exist in project … at …",
        "image … does not exist in project … at …",
        "project … does not exist at …",
        "storage pool … does not exist at …",
        "image … in project … at … is for …, but instance_type is …",
    )


def test_what_an_up_says(
    stack: Stack,
    client: IncusClient,
    name: str,
    sandbox: Sandbox,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    create_volume(
        client,
        "default",
        f"{name}-theirs",
        description="",
        config={"user.pika.runtime_id": "theirs"},
        content_type="filesystem",
    )
    body = {"name": name, "type": "container", "source": {"type": "image", "alias": IMAGE}}
    sandbox.daemon.request("POST", "/instances", body)
    snapshot = mount("no-such", kind="read_only_snapshot", mode="read_only")
    cache = mount(str(tmp_path / "no-such"), kind="cache")
    box = runtime(f"{name}-5", mounts=[cache], resources={"memory_mib": 128}, allow_restart=False)
    nowhere = {"type": "unix-char", "source": "/dev/no-such", "path": "/dev/x"}
    stack.declare(
        taken=runtime(name),
        source=runtime(f"{name}-1", mounts=[snapshot]),
        theirs=runtime(f"{name}-2", mounts=[mount(f"{name}-theirs")]),
        start=runtime(f"{name}-3", devices={"tty": nowhere}),
        late=runtime(f"{name}-4", wait_for="ready", timeouts={"wait": 1}),
        other=runtime(name, adopt=True, instance_type="virtual-machine"),
        box=box,
    )
    stack.config("pika:preflight", "off")

    said = stack.up("--continue-on-error", fails=True)

    shown(
        said,
        "instance … already exists in project … at … (…, …, created …, owner: …); it was not "
        "changed. …",
        "create the source first, or set required=False (except for a read_only_snapshot)",
        "set another source. If the other runtime no longer needs the data, adopt it with "
        "adopt=True, …",
        "could not create instance …: …",
        "did not reach state … within … s; timeouts.wait is … s. Last seen: …",
        "it differs in a way that cannot be changed in place: …",
        "is skipped: … does not exist, and the mount is not required",
    )

    # A container cannot have less memory than it uses; where the server holds limits.
    request.getfixturevalue("held_limits")
    used = (
        "mkdir -p /tmp/m && mount -t tmpfs none /tmp/m && "
        "dd if=/dev/zero of=/tmp/m/f bs=1M count=40"
    )
    assert exec_status(client, f"{name}-5", ["sh", "-c", used], timeout=60) == 0
    stack.declare(box={**box, "config": {"security.nesting": "true"}})
    shown(stack.preview(), "may need a restart for …")
    stack.declare(box={**box, "resources": {"memory_mib": 16}})
    shown(
        stack.up(fails=True),
        "could not change the running instance … (…): it needs a restart (…), but allow_restart is "
        "off. …",
    )

    # Another is put in its place, and goes.
    path = f"/instances/{name}-5"
    sandbox.daemon.request("PUT", f"{path}/state", {"action": "stop", "force": True})
    sandbox.daemon.request("DELETE", path)
    sandbox.daemon.request("POST", "/instances", {**body, "name": f"{name}-5"})
    stack.declare(box={**box, "description": "x"})
    shown(
        stack.up(fails=True),
        "is not the one that this resource created: another instance has its name",
    )
    sandbox.daemon.request("DELETE", path)
    shown(stack.up(fails=True), "instance … does not exist in project … at … any more; run …")


def test_what_hosts_say(tmp_path: Path, name: str) -> None:
    stack = make_stack(tmp_path / "stack", tmp_path / "no.socket")
    stack.declare(box=runtime(name))
    shown(
        stack.preview(),
        "could not check the host, so that only the plan was checked: …",
        "the socket does not exist; start Incus, or set INCUS_SOCKET to its socket",
    )
    stack.config("pika:preflight", "required")
    shown(stack.preview(fails=True), "could not check the host: …")
    stack.config("pika:url", "https://no-such-host.invalid:8443")
    stack.config("pika:socket", "/x")
    shown(
        stack.preview(fails=True), "socket, url and remote each name a host; set only one of them"
    )


def test_what_commands_say(tmp_path: Path, sandbox: Sandbox, name: str) -> None:
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "wrong.json").write_text("{a: 1}")
    (tmp_path / "twice.json").write_text('{"identity": {}, "identity": {}}')
    (tmp_path / "preview.txt").write_text("Previewing update (dev):\n")
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "there.py").write_text("")
    (tmp_path / "spec.json").write_text(json.dumps(spec_of(name)))
    here = environment(INCUS_SOCKET=str(sandbox.socket))
    body = {"name": name, "type": "container", "source": {"type": "image", "alias": IMAGE}}
    sandbox.daemon.request("POST", "/instances", body)
    for arguments, heading in (
        (("--json", "run"), "the first argument must be a command: …"),
        (("run", "spec.json"), "the command is missing: put it after …, as in …"),
        (("plan", "list.json"), "is not a valid spec: …"),
        (("plan", "wrong.json"), "is not a valid JSON file: line …, column …: …"),
        (("plan", "twice.json"), "is a duplicate key"),
        (
            ("report", "preview.txt"),
            "it is the human-readable output of Pulumi; run … with --json",
        ),
        (("report", "empty.json"), "it is empty; did … fail?"),
        (("import", "--output", "there.py"), "file … already exists; --force replaces it"),
        (
            ("run", "--type", "container", "spec.json", "--", "true"),
            "identity.instance_name: instance … already exists …",
        ),
    ):
        done = call(*arguments, directory=tmp_path, env=here)
        assert done.returncode, arguments
        shown(done.stderr.decode(), heading)
