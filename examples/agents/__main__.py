"""Managed agents from a list: one edit of the stack's config adds, changes or removes one.

The list is in `Pulumi.<stack>.yaml`, and takes the place of the default one as a whole:

    config:
      pika_agents:agents:
        - name: ada
          labels: {team: search}
        - name: cleo
          memory_mib: 1024

Agents are known by their names, so that an edit touches no other one. Each has a volume of its own,
which stays when the agent is taken off the list, and is found again when it comes back. A list with
mistakes makes nothing, and all of them are said at once.
"""

from typing import Any, cast

import pulumi
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from pulumi_pika import (
    IncusRuntime,
    IncusTarget,
    InstanceType,
    RuntimeIdentity,
    RuntimeMount,
    RuntimePolicies,
    RuntimeResources,
    RuntimeSpec,
    RuntimeSpecError,
)

config = pulumi.Config()


class Agent(BaseModel):
    """An entry of the list."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)
    vcpu_count: PositiveInt = 1
    memory_mib: PositiveInt = 512
    labels: dict[str, str] = {}
    mounts: list[RuntimeMount] = []

    def spec(self) -> RuntimeSpec:
        instance = config.require("prefix") + self.name
        state = RuntimeMount(
            kind="persistent_volume",
            source=f"{instance}-state",
            guest_path="/mnt/pika-state",
            mode="read_write",
            required=True,
        )
        return RuntimeSpec(
            identity=RuntimeIdentity(runtime_id=instance, instance_name=instance),
            provider="incus",
            incus=IncusTarget(
                project=config.require("project"),
                profile=config.require("profile"),
                image_alias=config.require("image"),
            ),
            resources=RuntimeResources(vcpu_count=self.vcpu_count, memory_mib=self.memory_mib),
            mounts=[state, *self.mounts],
            policies=RuntimePolicies(
                restart_policy="on_failure", retention_policy="keep_until_stopped"
            ),
            labels={"role": "agent", **self.labels},
        )


def read(entries: list[Any]) -> dict[str, RuntimeSpec]:
    """The agents' specs by name; all that is wrong with the list at once."""
    specs: dict[str, RuntimeSpec] = {}
    problems: list[str] = []
    for index, entry in enumerate(entries):
        where = f"agents[{index}]"
        try:
            agent = Agent.model_validate(entry)
            spec = agent.spec()
            spec.build_incus_plan()
        except ValidationError as error:
            for found in error.errors():
                place = ".".join([where, *map(str, found["loc"])])
                problems.append(f"{place}: {found['msg']}")
        except RuntimeSpecError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]
        else:
            if agent.name in specs:
                problems.append(f"{where}.name: there is an agent {agent.name} already")
            specs[agent.name] = spec
    if problems:
        raise pulumi.RunError("\n  ".join(["nothing is made of a list with mistakes:", *problems]))
    return specs


instance_type = cast(InstanceType, config.require("instance_type"))
agents = {
    name: IncusRuntime(name, spec=spec, instance_type=instance_type)
    for name, spec in read(config.require_object("agents")).items()
}

pulumi.export(
    "agents",
    {
        name: {"instance": agent.instance_name, "status": agent.status, "ipv4": agent.ipv4_address}
        for name, agent in agents.items()
    },
)
