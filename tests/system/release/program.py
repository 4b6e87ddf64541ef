"""The program of the stacks of these tests, copied to where nothing of the checkout is.

It declares what `declared.json` beside it says, with what the installed version of us has.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pulumi

import pulumi_pika

OUTPUTS = {
    "runtime": ("instance_name", "status", "devices", "image_fingerprint"),
    "volume": ("volume_name",),
    "snapshot": ("created_at",),
    "job": ("status", "exit_code", "log_tail"),
}


def secret(value: Any) -> Any:
    """The value with `{"secret": ...}` in it made secret."""
    if isinstance(value, dict):
        if set(value) == {"secret"}:
            return pulumi.Output.secret(value["secret"])
        return {key: secret(item) for key, item in value.items()}
    return value


def main() -> None:
    """Declares the stack."""
    kinds = {
        "runtime": "IncusRuntime",
        "volume": "PersistentVolume",
        "snapshot": "VolumeSnapshot",
        "job": "IncusJob",
    }
    declared = json.loads(Path("declared.json").read_text())
    options = pulumi.ResourceOptions()
    if host := declared.pop("host", None):
        options.provider = pulumi_pika.IncusHost("host", **host)
    made: dict[str, Any] = {}
    for name, arguments in declared.items():
        if name == "snapshot":
            arguments["volume_name"] = made["volume"].volume_name
        made[name] = getattr(pulumi_pika, kinds[name])(name, **secret(arguments), opts=options)
        for output in OUTPUTS[name]:
            pulumi.export(f"{name}.{output}", getattr(made[name], output))
    pulumi.export("package", pulumi_pika.__file__)
    pulumi.export("version", pulumi_pika.__version__)
    pulumi.export("python", ".".join(map(str, sys.version_info[:2])))
    pulumi.export("sdk", version("pulumi"))


if __name__ == "__main__":
    main()
