"""The example `component`: a pool of runtimes, and what becomes of it."""

from typing import Any

from ...conftest import Sandbox
from ...support.stack import Stack
from .helpers import (
    apply,
    configure,
    take,
    there,
    uuids,
    volumes,
)

POOL = "examples:pika:AgentPool"
RUNTIME = f"{POOL}$pulumi-python:dynamic/pika:IncusRuntime"


def parts(stack: Stack) -> dict[str, dict[str, Any]]:
    """The stack's runtimes and volumes, by name."""
    return {it["urn"].rpartition("::")[2]: it for it in stack.resources()}


def test_pool(stack: Stack, sandbox: Sandbox, name: str) -> None:
    daemon = sandbox.daemon
    take(stack, "component", prefix=name, memory_mib=64)
    # The host is not where the environment points: it is handed down.
    program = stack.directory / "__main__.py"
    text = program.read_text()
    there_is = 'IncusHost("host")'
    assert there_is in text
    text = text.replace(there_is, f'IncusHost("host", socket="{sandbox.socket}")')
    program.write_text(text)
    stack.environment["INCUS_SOCKET"] = "/nowhere/unix.socket"

    shown = apply(stack)
    assert RUNTIME in shown
    assert stack.outputs() == {"instances": [f"{name}-1", f"{name}-2"], "cache": f"{name}-cache"}
    assert set(there(daemon, name)) == {f"{name}-1", f"{name}-2"}
    for live in there(daemon, name).values():
        assert live["config"]["limits.memory"] == "64MiB"
        assert f"{name}-cache" in [device.get("source") for device in live["devices"].values()]
    pool = next(it for it in stack.export()["deployment"]["resources"] if it["type"] == POOL)
    assert pool["outputs"] == {"instances": [f"{name}-1", f"{name}-2"], "cache": f"{name}-cache"}
    for part in parts(stack).values():
        assert part["parent"] == pool["urn"]
        assert "::host::" in part["provider"]

    # Up, and down again: those at the end.
    first = uuids(daemon, name)
    configure(stack, count=3)
    shown = stack.preview()
    assert "1 to create" in shown
    assert "to update" not in shown
    stack.up()
    assert uuids(daemon, name) == {**first, f"{name}-3": uuids(daemon, name)[f"{name}-3"]}
    configure(stack, count=1)
    stack.up()
    assert uuids(daemon, name) == {f"{name}-1": first[f"{name}-1"]}

    # What is wrong with one is said of that one, by its whole name.
    configure(stack, memory_mib=-1)
    said = stack.up(fails=True)
    assert "builders-1" in said
    assert "memory_mib" in said
    assert "Traceback" not in said
    configure(stack, memory_mib=64, count=2)
    stack.up()

    # Another name, with the old one as an alias: nothing is made anew, and the marks move.
    before = uuids(daemon, name)
    renamed = text.replace('"builders",', '"workers",').replace(
        "providers=[host]", 'providers=[host], aliases=[pulumi.Alias(name="builders")]'
    )
    assert '"workers"' in renamed
    assert 'Alias(name="builders")])' in renamed
    program.write_text(renamed)
    shown = apply(stack)
    assert "replace" not in shown
    assert "to delete" not in shown
    assert uuids(daemon, name) == before
    assert set(parts(stack)) == {"workers-cache", "workers-1", "workers-2"}
    for number in (1, 2):
        owner = there(daemon, name)[f"{name}-{number}"]["config"]["user.pika.owner"]
        assert owner == parts(stack)[f"workers-{number}"]["urn"]

    stack.destroy()
    assert there(daemon, name) == {}
    # The cache is data.
    assert volumes(daemon, name) == [f"{name}-cache"]
