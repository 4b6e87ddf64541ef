"""Declare agents from a list in the stack configuration.

The list is in `Pulumi.<stack>.yaml`, and replaces the default list:

    config:
      pika_agents:agents:
        - name: ada
          labels: {team: search}
        - name: cleo
          memory_mib: 1024

An agent is identified by its name, so that a change of one entry changes only
that agent. Each agent has its own volume. The volume is kept if the agent is
removed from the list, and used again if the agent is added again. If the list
has mistakes, nothing is created, and all mistakes are reported at once.
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
            identity=RuntimeIdentity(
                runtime_id=instance, instance_name=instance
            ),
            provider="incus",
            incus=IncusTarget(
                project=config.require("project"),
                profile=config.require("profile"),
                image_alias=config.require("image"),
            ),
            resources=RuntimeResources(
                vcpu_count=self.vcpu_count, memory_mib=self.memory_mib
            ),
            mounts=[state, *self.mounts],
            policies=RuntimePolicies(
                restart_policy="on_failure",
                retention_policy="keep_until_stopped",
            ),
            labels={"role": "agent", **self.labels},
        )


def read(entries: list[Any]) -> dict[str, RuntimeSpec]:
    """Return the specs by name, or report all mistakes of the list."""
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
                problems.append(
                    f"{where}.name: there is an agent {agent.name} already"
                )
            specs[agent.name] = spec
    if problems:
        raise pulumi.RunError(
            "\n  ".join(
                [
                    "the list of agents has mistakes; nothing was created:",
                    *problems,
                ]
            )
        )
    return specs


instance_type = cast(InstanceType, config.require("instance_type"))
agents = {
    name: IncusRuntime(name, spec=spec, instance_type=instance_type)
    for name, spec in read(config.require_object("agents")).items()
}

pulumi.export(
    "agents",
    {
        name: {
            "instance": agent.instance_name,
            "status": agent.status,
            "ipv4": agent.ipv4_address,
        }
        for name, agent in agents.items()
    },
)
