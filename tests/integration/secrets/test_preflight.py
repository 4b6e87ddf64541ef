"""What a host lacks is said without what it has, where the name that was asked for is secret."""

from collections.abc import Iterator
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.providers import host_connection
from pulumi_pika.providers.provider_errors import ProviderError

from ...conftest import IMAGE, Sandbox
from ...support.provider_calls import runtime_calls
from ...unit.providers.test_secret_marking import inputs

# Like what is there: `did you mean` would tell the secret.
_WANTED = {
    ("incus", "image_alias"): ("pika/tyni", IMAGE),
    ("incus", "profile"): ("defualt", "default"),
    ("incus", "project"): ("defuald", "default"),
}


@pytest.fixture(autouse=True)
def _host(sandbox: Sandbox) -> Iterator[None]:
    host_connection.configure({"pika:socket": str(sandbox.socket)})
    yield
    host_connection.configure({})


def _inputs(path: tuple[str, str], *secret: str) -> dict[str, Any]:
    target = {"project": "default", "profile": "default", "image_alias": IMAGE}
    target[path[1]] = _WANTED[path][0]
    more = {"instance_type": "container", "mounts": [], "devices": {}}
    return inputs(*secret, incus=target, **more)


def _said(given: dict[str, Any]) -> str:
    return " ".join(failure.reason for failure in runtime_calls.check(given).failures)


@pytest.mark.parametrize("path", _WANTED, ids=lambda path: path[1])
@pytest.mark.parametrize("secret", [True, False], ids=["secret", "shown"])
def test_names_of_the_host(path: tuple[str, str], secret: bool, client: IncusClient) -> None:
    wanted, there = _WANTED[path]
    given = _inputs(path, *([".".join(path)] if secret else []))

    said = _said(given)
    with pytest.raises(ProviderError) as raised:
        runtime_calls.create(given)

    for text in (said, str(raised.value)):
        text = text.replace(client.host, "")
        assert "does not exist" in text
        assert (f"did you mean {there}?" in text) is not secret
        assert (wanted in text) is not secret
        if secret:
            # Nor any other that is not in the program.
            assert f"there: {there}" not in text
            assert "did you mean" not in text
