"""Adopt an existing instance, or resume managing one that an interrupted create left incomplete."""

from ...incus.catalog import image_fingerprint
from ...incus.client import IncusClient
from ...incus.errors import NotFound
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
    """Bring an existing instance to the plan, in place.

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
    progress = Progress(reporter, f"{name} is still being worked on; waiting")
    wait_for_pending_operations(
        client, name, timeout=options.timeouts.create, progress=progress.operation
    )
    live = fetch_instance(client, name)
    if live is None:
        return None
    if is_incomplete(live) and relation(live.config, options.owner, options.backend) == "ours":
        reporter.info(f"removing {name}, whose making was cut off half way")
        remove_instance(client, name, timeout=options.timeouts.create)
        return None
    if differences := fixed_differences(client, live, plan, options):
        raise AdoptionRefused(
            f"the instance {name} in project {client.project} cannot be brought to the plan in "
            f"place: {'; '.join(differences)}. Nothing of it was touched. "
            + different_advice(live, options)
        )
    declared = declared_devices(plan, options)
    if foreign := [
        device
        for device in sorted(live.devices)
        if device.startswith(DEVICE_NAME_PREFIX) and device not in declared
    ]:
        reporter.warn(
            f"{name} has devices that begin with `{DEVICE_NAME_PREFIX}`, which are the plan's, and "
            f"that no mount of the program makes: {', '.join(foreign)}; they are taken off it. The "
            "volumes and host paths behind them stay"
        )
    reporter.info(f"taking over the instance {name} (project {client.project}), {live.status}")
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
        return "Change the program to match it, or remove the instance"
    return (
        "It is this resource's own. Change the program to match it; or, if the resource has "
        "delete_before_replace=False or retain_on_delete=True in its options, remove that, so that "
        "a replacement deletes the old instance first; or, if nothing of it is needed (it is of an "
        "interrupted create), remove the instance"
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
            f"instance_type: it is a {live.instance_type}, not {options.instance_type}"
        )
    alias = plan.incus.image_alias
    try:
        wanted = image_fingerprint(client, alias)
    except NotFound:
        differences.append(f"incus.image_alias: there is no image {alias}")
    else:
        if live.fingerprint != wanted:
            differences.append(
                f"incus.image_alias: it was made of image {live.fingerprint[:12] or 'unknown'}, "
                f"and {alias} is {wanted[:12]} (an alias that points at its image would match)"
            )
    pool = options.storage_pool
    if pool and plan.resources.root_disk_gib is not None and live.root_pool not in ("", pool):
        differences.append(f"storage_pool: its root disk is in {live.root_pool}, not {pool}")
    return differences
