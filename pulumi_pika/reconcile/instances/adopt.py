"""Adopt an existing instance, or resume managing one that an interrupted create left incomplete."""

from ...incus.catalog import image_fingerprint
from ...incus.client import IncusClient
from ...incus.errors import NotFound
from ...message_templates import could_not
from ...planner.device_names import DEVICE_NAME_PREFIX
from ...planner.plan import IncusRuntimePlan
from ..shared.errors import AdoptionRefused
from ..shared.ownership import (
    GENERATION_KEY,
    RUNTIME_ID_KEY,
    new_generation,
    relation,
)
from ..shared.reporter import Progress, Reporter
from .changes import LastApplied
from .desired import DesiredInstance, declared_devices
from .lifecycle import (
    fetch_instance,
    remove_instance,
    wait_for_pending_operations,
)
from .live_instance import LiveInstance
from .runtime_options import RuntimeOptions
from .update import apply_plan


def may_adopt(live: LiveInstance, plan: IncusRuntimePlan, options: RuntimeOptions) -> bool:
    """Return whether an existing instance may be managed by this resource.

    That is so if its ownership label names this resource, or if `adopt` allows it. `adopt` allows
    an instance without an owner, and one of a stack with the same URN in another backend. It does
    not allow an instance of another resource.

    Args:
        live: the instance as last fetched.
        plan: the plan.
        options: the options.
    """
    match relation(live.config, options.owner, options.backend):
        case "ours":
            return options.adopt or live.config.get(RUNTIME_ID_KEY) == plan.identity.runtime_id
        case "unmarked" | "other_backend":
            return options.adopt
        case _:
            return False


def adopt_instance(
    client: IncusClient, plan: IncusRuntimePlan, options: RuntimeOptions, reporter: Reporter
) -> tuple[DesiredInstance, LiveInstance] | None:
    """Change an existing instance in place to match the plan.

    Args:
        client: a client in the instance's project.
        plan: the plan.
        options: the options.
        reporter: receives progress and warnings.

    Returns:
        What the instance is to be, and the instance; None if it no longer exists: its create failed
        after all, or was interrupted, and its remains are removed.

    Raises:
        AdoptionRefused: it differs in a way that cannot be changed in place; nothing was changed.
        RuntimeFailed: a change failed.
    """
    name = plan.identity.instance_name
    progress = Progress(reporter, f"waiting for an operation on {name} to end")
    wait_for_pending_operations(
        client, name, timeout=options.timeouts.create, progress=progress.operation
    )
    live = fetch_instance(client, name)
    if live is None:
        return None
    if is_incomplete(live) and relation(live.config, options.owner, options.backend) == "ours":
        reporter.info(f"deleting {name}, left incomplete by an interrupted create")
        remove_instance(client, name, timeout=options.timeouts.create)
        return None
    if differences := fixed_differences(client, live, plan, options):
        raise AdoptionRefused(
            could_not(
                f"adopt instance {name} in project {client.project}",
                f"it differs in a way that cannot be changed in place: {'; '.join(differences)}",
                undone="It was not changed",
                advice=different_advice(live, options),
            )
        )
    declared = declared_devices(plan, options)
    if foreign := [
        device
        for device in sorted(live.devices)
        if device.startswith(DEVICE_NAME_PREFIX) and device not in declared
    ]:
        reporter.warn(
            f"{name}: removing the devices {', '.join(foreign)}, because no mount of the program "
            f"has them and names that begin with `{DEVICE_NAME_PREFIX}` are devices of mounts. "
            "Their volumes and host paths are not changed"
        )
    reporter.info(f"adopting instance {name} (project {client.project}), {live.status}")
    ours = relation(live.config, options.owner, options.backend) == "ours"
    return apply_plan(
        client,
        live,
        plan,
        options,
        reporter,
        previous=LastApplied(),
        known_pool=None,
        generation=new_generation(live.generation if ours else ""),
    )


def is_incomplete(live: LiveInstance) -> bool:
    """Return whether an interrupted create of the daemon left an incomplete root disk.

    Incus sets ``volatile.apply_template`` when it unpacks an image, and removes it at the first
    start, which sets ``volatile.last_state.power`` (observed with 6.0.4).
    """
    return (
        not live.running
        and GENERATION_KEY in live.config
        and "volatile.apply_template" not in live.config
        and "volatile.last_state.power" not in live.config
    )


def different_advice(live: LiveInstance, options: RuntimeOptions) -> str:
    """Return the advice for an instance that differs in a way that cannot be changed in place."""
    if relation(live.config, options.owner, options.backend) != "ours":
        return "Change the program to match the instance, or delete the instance"
    return (
        "The instance belongs to this resource. Change the program to match it. Or, if the "
        "resource has delete_before_replace=False or retain_on_delete=True in its options, remove "
        "that option, so that a replacement deletes the old instance first. Or, if the instance is "
        "left from an interrupted create and nothing in it is needed, delete it"
    )


def fixed_differences(
    client: IncusClient, live: LiveInstance, plan: IncusRuntimePlan, options: RuntimeOptions
) -> list[str]:
    """Return how an instance differs from the plan in ways that would need another instance.

    Args:
        client: a client in the instance's project.
        live: the instance as last fetched.
        plan: the plan.
        options: the options.
    """
    differences = []
    if live.instance_type != options.instance_type:
        differences.append(
            f"instance_type: it is {live.instance_type}, not {options.instance_type}"
        )
    alias = plan.incus.image_alias
    try:
        wanted = image_fingerprint(client, alias)
    except NotFound:
        differences.append(f"incus.image_alias: image alias {alias} does not exist")
    else:
        if live.fingerprint != wanted:
            differences.append(
                f"incus.image_alias: it was created from image "
                f"{live.fingerprint[:12] or 'unknown'}, and {alias} is {wanted[:12]} (set an alias "
                "of its image to match)"
            )
    pool = options.storage_pool
    if pool and plan.resources.root_disk_gib is not None and live.root_pool not in ("", pool):
        differences.append(f"storage_pool: its root disk is in {live.root_pool}, not {pool}")
    return differences
