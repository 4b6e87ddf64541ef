"""Create a runtime: its volumes, its instance, the start and the wait; or undo all of it."""

import re
from dataclasses import replace

from ...incus.catalog import image_fingerprint, looks_like_fingerprint
from ...incus.client import IncusClient
from ...incus.errors import (
    AlreadyExists,
    IncusApiError,
    IncusError,
    IncusUnreachable,
    NotFound,
    OperationError,
    OperationFailed,
)
from ...incus.instances import (
    create_instance,
    patch_instance,
    running_operations,
)
from ...message_templates import MISSING, OTHER_OWNER, Message, could_not, exists
from ...planner.plan import IncusRuntimePlan
from ..shared.errors import (
    InstanceExists,
    ReconcileError,
    RuntimeFailed,
)
from ..shared.ownership import (
    GENERATION_KEY,
    OWNER_KEY,
    RUNTIME_ID_KEY,
    new_generation,
    relation,
    renamed_hint,
)
from ..shared.polling import poll_until
from ..shared.reporter import Progress, Reporter
from ..shared.undo import NOTHING_CREATED, Undo
from .adopt import (
    adopt_instance,
    is_incomplete,
    may_adopt,
)
from .data_volumes import claim_volumes, create_volumes
from .desired import DesiredInstance
from .lifecycle import (
    LOST_REPLY_ERRORS,
    fetch_instance,
    kill_instance,
    remove_instance,
    start_instance,
)
from .live_instance import LiveInstance
from .location import select_member_for_volumes
from .placement import resolve_placement
from .runtime_options import RuntimeOptions
from .setup_files import write_files
from .wait import wait_for


def create_runtime(
    client: IncusClient, plan: IncusRuntimePlan, options: RuntimeOptions, reporter: Reporter
) -> tuple[DesiredInstance, LiveInstance]:
    """Create the runtime.

    If an interrupted create of the same resource left an instance, that instance is completed. An
    instance that `adopt` allows is adopted.

    Args:
        client: a client in the plan's project.
        plan: the plan.
        options: the options.
        reporter: receives progress and warnings.

    Returns:
        What the instance was to be, and the instance as it is.

    Raises:
        InstanceExists: an instance of that name exists; nothing was changed.
        AdoptionRefused: the instance may be adopted, but differs in a way that cannot be changed in
            place.
        RuntimeFailed: the create failed, and everything that it had created is deleted (or the
            message names what is not).
        ReconcileError, IncusError: the create failed before anything was created.
    """
    client = client.aimed_at(options.target)
    existing = fetch_instance(client, plan.identity.instance_name)
    if existing and not may_adopt(existing, plan, options):
        raise InstanceExists(describe_existing(client, existing, options))
    if existing and (taken := adopt_instance(client, plan, options, reporter)):
        return taken
    placement = resolve_placement(client, plan, options)
    placement = replace(placement, desired=_with_fingerprint(client, placement.desired))
    for warning in placement.warnings:
        reporter.warn(warning)
    client = select_member_for_volumes(client, placement)
    undo = Undo(reporter)
    try:
        create_volumes(client, placement.desired, placement.missing_volumes, undo, reporter)
        live = create_and_start(client, placement.desired, undo, reporter)
        claim_volumes(client, placement.desired, placement.claimed_volumes)
    except (IncusError, ReconcileError) as error:
        outcome = undo.run()
        # The instance of an interrupted create may become visible only now, because its name is in
        # use.
        appeared = isinstance(error, InstanceExists) and fetch_instance(
            client, placement.desired.name
        )
        if (
            appeared
            and may_adopt(appeared, plan, options)
            and (taken := adopt_instance(client, plan, options, reporter))
        ):
            return taken
        if isinstance(error, InstanceExists) and outcome == NOTHING_CREATED:
            raise
        raise RuntimeFailed(explain_failure(error, placement.desired, outcome)) from error
    except BaseException:
        undo.run()
        raise
    return placement.desired, live


def _with_fingerprint(client: IncusClient, desired: DesiredInstance) -> DesiredInstance:
    """Return the desired instance with the image's fingerprint, if the plan has one for an alias.

    Incus does not look up a fingerprint that is given as an alias. An alias may look like a
    fingerprint.
    """
    name = desired.plan.incus.image_alias
    if not looks_like_fingerprint(name):
        return desired
    try:
        return replace(desired, image=image_fingerprint(client, name))
    except NotFound:
        return desired  # The create reports it.


def create_and_start(
    client: IncusClient, desired: DesiredInstance, undo: Undo, reporter: Reporter
) -> LiveInstance:
    """Create the instance, start it if it is to run, and wait for what `wait_for` names.

    Args:
        client: a client for the cluster member on which the instance is to be.
        desired: what the instance is to be.
        undo: receives the step that deletes the instance.
        reporter: receives progress.

    Raises:
        InstanceExists: the name is in use.
        ReconcileError, IncusError: the create failed; `undo` undoes it.
    """
    attempt = new_generation()
    name = desired.name
    # Whether the instance may still appear although it does not exist yet: the end was not seen.
    open_ = False
    undo.push(f"instance {name}", lambda: _remove_attempt(client, name, attempt, open_))
    what = f"creating {name}"
    progress = Progress(reporter, what)
    try:
        operation = create_instance(client, desired.creation(attempt))
        open_ = True
        client.wait(
            operation,
            timeout=desired.options.timeouts.create,
            what=what,
            progress=progress.operation,
        )
        open_ = False
    except KeyboardInterrupt:
        # The request may already have been sent.
        open_ = True
        raise
    except (AlreadyExists, OperationFailed) as error:
        open_ = False
        if isinstance(error, OperationFailed) and not _name_is_taken(error.reason):
            raise
        other = _find(client, name)
        if other is None:
            raise
        raise InstanceExists(describe_existing(client, other, desired.options)) from None
    except LOST_REPLY_ERRORS as error:
        # The reply is lost, but the instance may exist: check whether this attempt created it
        # correctly.
        if isinstance(error, IncusUnreachable) and not (error.sent or open_):
            undo.drop()
            raise
        open_ = True
        if _find_attempt(client, name, attempt) is None:
            raise
        for operation in running_operations(client, name):
            client.wait(
                operation,
                timeout=desired.options.timeouts.create,
                what=what,
                progress=progress.operation,
            )
        open_ = False
        live = fetch_instance(client, name)
        if live is None or is_incomplete(live) or (desired.starts_at_once and not live.running):
            raise
    if desired.image_config:
        patch_instance(
            client,
            name,
            {"description": desired.options.description or "", "config": desired.image_config},
            "",
        )
    write_files(client, name, desired.options.files, reporter)
    if desired.options.running and not desired.starts_at_once:
        timeout = desired.options.timeouts.create
        start_instance(client, name, timeout=timeout, reporter=reporter)
    waited = wait_for(client, desired, reporter) if desired.options.running else None
    live = waited or fetch_instance(client, name)
    if live is None:
        raise ReconcileError(
            Message(
                f"instance {name} was created and then deleted by another client; run `pulumi up` "
                "again to recreate it",
                MISSING,
            )
        )
    return live


def _find_attempt(client: IncusClient, name: str, attempt: str) -> LiveInstance | None:
    """Return the instance that this attempt created, which may take a moment to appear, or None."""
    live = _find(client, name)
    return live if live is not None and live.config.get(GENERATION_KEY) == attempt else None


def _find(client: IncusClient, name: str) -> LiveInstance | None:
    """Return the instance of a name, which may take a moment to appear; None if none appears."""
    return poll_until(
        lambda: fetch_instance(client, name),
        may_continue=lambda: bool(running_operations(client, name)),
    )


def _remove_attempt(client: IncusClient, name: str, attempt: str, may_appear: bool) -> bool:
    """Delete the instance if this attempt created it, and no other instance of that name."""
    live = _find_attempt(client, name, attempt) if may_appear else fetch_instance(client, name)
    if live is None or live.config.get(GENERATION_KEY) != attempt:
        return False
    if live.running:
        kill_instance(client, name)
    remove_instance(client, name, timeout=120)
    return True


def describe_existing(client: IncusClient, live: LiveInstance, options: RuntimeOptions) -> Message:
    """Return why an instance of the wanted name is not adopted, and what to do.

    Args:
        client: a client in the instance's project.
        live: the instance as last fetched.
        options: the options.
    """
    owner = live.config.get(OWNER_KEY)
    whose = relation(live.config, options.owner, options.backend)
    if whose == "other_backend":
        advice = (
            "Its owner is a stack with the same name in another Pulumi backend (or on another "
            "machine). Set another identity.instance_name, or adopt the instance from that stack "
            "with adopt=True"
        )
    elif whose == "other" and owner:
        hint = renamed_hint(options.owner, owner)
        advice = f"{hint}. Otherwise set" if hint else "Set"
        advice += " another identity.instance_name"
        if options.adopt:
            advice += (
                ". adopt=True does not adopt an instance that another resource owns. Its owner can "
                "release it: set retain_on_delete on that resource and run `pulumi up`, remove the "
                "resource from its program and run `pulumi up` again, and then remove the owner: "
                f"`incus config unset --project {client.project} {live.name} {OWNER_KEY}`"
            )
    elif whose == "ours":
        advice = (
            "It belongs to this resource with another identity.runtime_id "
            f"({live.config.get(RUNTIME_ID_KEY, 'none')}). Run `pulumi up` without forcing a "
            "replacement, which changes the runtime_id in place; or set that runtime_id, or "
            "adopt=True"
        )
    else:
        advice = (
            "Set another identity.instance_name, or adopt it with adopt=True, or delete it with "
            f"all its data: `incus delete --project {client.project} {live.name}`"
        )
    found = exists(
        f"instance {live.name}",
        f"in project {live.project or client.project} at {client.host} ({live.instance_type}, "
        f"{live.status}, created {live.raw.get('created_at')}, owner: {owner or 'none'})",
        f"it was not changed. {advice}",
    )
    return Message(found, OTHER_OWNER if owner and whose != "ours" else found.code)


def _name_is_taken(reason: str) -> bool:
    """Return whether an operation failed because the instance's name is in use.

    Incus 6.0.4 shows its database's error, or reports that another operation on an instance of that
    name is running.
    """
    return (
        "already exists" in reason
        or "UNIQUE constraint failed: instances" in reason
        or ("creating instance record" in reason and "is busy running" in reason)
    )


def explain_failure(error: Exception, desired: DesiredInstance, outcome: str) -> Message:
    """Return the message for an instance that could not be created.

    Args:
        error: the error of the create.
        desired: what the instance was to be.
        outcome: what was undone, and what was not.
    """
    plan = desired.plan
    text = str(error).rstrip(". ")
    reason = error.reason if isinstance(error, IncusApiError | OperationError) else ""
    # For an unknown alias, Incus 6.0.4 reports that no image was provided.
    if re.search(r"image.*not (found|provided)", reason.lower()):
        text += (
            f"; check that image alias {plan.incus.image_alias} exists: "
            f"`incus image list --project {plan.incus.project}`"
        )
    return could_not(f"create instance {desired.name}", text, undone=outcome)
