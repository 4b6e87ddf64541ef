"""Instances as others make them: by REST, with no word of Pulumi's."""

from typing import Any

from ..conftest import IMAGE, Sandbox


def make(sandbox: Sandbox, name: str, image: str = IMAGE, **more: Any) -> None:
    body = {
        "name": name,
        "type": "container",
        "source": {"type": "image", "alias": image},
        **more,
    }
    sandbox.daemon.request("POST", "/instances", body)
