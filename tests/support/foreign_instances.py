"""Instances as others make them: by REST, with no word of Pulumi's."""

from typing import Any

from pulumi_pika.reconcile.preflight import NAMES_EXTENSION

from ..conftest import IMAGE, Sandbox


def make(sandbox: Sandbox, name: str, image: str = IMAGE, **more: Any) -> None:
    body = {
        "name": name,
        "type": "container",
        "source": {"type": "image", "alias": image},
        **more,
    }
    sandbox.daemon.request("POST", "/instances", body)


def odd_device(sandbox: Sandbox) -> str:
    """A device's name that the server takes, and no program can give."""
    newer = NAMES_EXTENSION in sandbox.daemon.request("GET", "")["api_extensions"]
    return "odd@1" if newer else "odd_"
