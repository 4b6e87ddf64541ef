"""Turn the inputs of an `IncusRuntime` into its plan and options, for check, diff and create."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from ..message_templates import conflict
from ..planner.device_names import DEVICE_NAME_PREFIX
from ..planner.plan import IncusRuntimePlan
from ..planner.spec import RuntimeSpec, plan_mounts
from ..planner.spec_errors import (
    InvalidPath,
    Problem,
    RuntimeSpecError,
)
from ..planner.validate import OUTSIDE
from ..reconcile.instances.cloud_config import NETWORK_KEY
from ..reconcile.instances.desired import Devices, declared_devices
from ..reconcile.instances.key_options import KEY_OF_OPTION
from ..reconcile.instances.profile_list import profile_of_list
from ..reconcile.instances.runtime_options import (
    ROOT_DEVICE,
    USER_DATA_KEY,
    RuntimeOptions,
    find_option_problems,
)
from .lenient_validation import Failure, validate_leniently
from .property_tree import (
    UNKNOWN,
    Path,
    parse_path,
    paths_overlap,
    set_path,
    unknown_paths,
)

SPEC_FIELDS: Final = tuple(name for name in RuntimeSpec.model_fields if name != "provider")
OPTION_FIELDS: Final = tuple(RuntimeOptions.model_fields)
PLANNED_FIELDS: Final = (*SPEC_FIELDS, *OPTION_FIELDS)
"""The inputs that `plan_inputs` reads."""
SECRET_INPUTS: Final = "secret_inputs"
"""The input that names the other inputs that are secret; see `providers.secret_marking`."""

_ROOT: Final[Path] = ("lifecycle_root",)
_STATE_DIR: Final[Path] = ("paths", "state_dir")
_CONCERNS: Final[dict[str, tuple[Path, ...]]] = {
    "MismatchedStateRoot": (_ROOT, _STATE_DIR),
    "MismatchedGuestRequestPath": (
        ("bootstrap", "guest_request_path"),
        ("paths", "guest_request_path"),
    ),
}
_OPTION_CONCERNS: Final[dict[Path, tuple[Path, ...]]] = {
    ("mount_options",): (("mounts",), ("instance_type",)),
    ("profiles",): (("resources",), ("storage_pool",), ("devices",)),
    ("restart_triggers",): (("running",),),
    ("ephemeral",): (("running",),),
    ("extra_profiles",): (("profiles",), ("incus", "profile")),
    ("cpu_pinning",): (("resources", "vcpu_count"),),
    ("cpu_allowance",): (("instance_type",),),
    ("memory_percent",): (("resources", "memory_mib"),),
    **{("config", key): ((name,),) for name, key in KEY_OF_OPTION.items()},
    ("config", USER_DATA_KEY): (("cloud_init_user_data",), ("cloud_init",)),
    ("config", NETWORK_KEY): (("cloud_init",),),
    ("cloud_init",): (("cloud_init_user_data",),),
    ("files",): (("instance_type",),),
    ("config", "boot.autostart"): (("policies", "restart_policy"),),
    ("devices", ROOT_DEVICE): (("resources", "root_disk_gib"),),
}
"""Further inputs that the problems of `find_option_problems` at these paths may depend on."""


@dataclass(frozen=True, slots=True)
class PlannedInputs:
    """Hold the plan and the options of the inputs.

    For unknown values, `plan` and `options` have placeholders, and `plan_tree` and `devices` have
    `UNKNOWN`.
    """

    plan: IncusRuntimePlan
    options: RuntimeOptions
    plan_tree: dict[str, Any]
    devices: dict[str, Any] | str
    failures: list[Failure]
    unknown: frozenset[Path]


def plan_inputs(inputs: dict[str, Any]) -> PlannedInputs:
    """Validate the inputs and plan the runtime.

    Args:
        inputs: a plain tree (see `property_tree.normalize`), which is not changed.
    """
    inputs, failures = _with_listed_profile(inputs)
    unknown = frozenset(
        path
        for name in PLANNED_FIELDS
        if name in inputs
        for path in unknown_paths(inputs[name], (name,))
    )
    spec_tree: dict[str, Any] = {
        "provider": "incus",
        **{name: _copy(inputs[name]) for name in SPEC_FIELDS if name in inputs},
    }
    # Pulumi drops None, so an absent `running` was given as None.
    option_tree: dict[str, Any] = {
        "running": None,
        **{name: _copy(inputs[name]) for name in OPTION_FIELDS if name in inputs},
    }
    spec = validate_leniently(
        RuntimeSpec, spec_tree, (path for path in unknown if path[0] in SPEC_FIELDS)
    )
    given = validate_leniently(
        RuntimeOptions, option_tree, (path for path in unknown if path[0] in OPTION_FIELDS)
    )
    failures += [*spec.failures, *given.failures]
    unresolved = spec.unresolved | given.unresolved

    plan, problems = _plan(spec.model)
    failures += [
        Failure(parse_path(problem.location), str(problem))
        for problem in problems
        if not any(
            paths_overlap(path, other) for path in _concerns(problem) for other in unresolved
        )
    ]
    options = _without_own_devices(plan, given.model)
    reported = {failure.path for failure in failures}
    failures += [
        Failure(path, reason)
        for path, reason in find_option_problems(plan, options)
        if path not in reported
        and not any(
            paths_overlap(concern, other)
            for concern in (path, *_OPTION_CONCERNS.get(path, _OPTION_CONCERNS.get(path[:1], ())))
            for other in unresolved
        )
    ]
    names = [mount.device_name for mount in plan.mounts]
    return PlannedInputs(
        plan=plan,
        options=options,
        plan_tree=_show_unknown(plan.to_dict(), unknown, names),
        devices=_show_unknown_devices(declared_devices(plan, options), unknown, names),
        failures=failures,
        unknown=unknown,
    )


def _with_listed_profile(inputs: dict[str, Any]) -> tuple[dict[str, Any], list[Failure]]:
    """Return the inputs with the profile that the plan names if `profiles` is given.

    A profile that is given as well is a failure, even if it is the same one.
    """
    target = inputs.get("incus")
    if inputs.get("profiles") is None or not isinstance(target, dict):
        return inputs, []
    listed = profile_of_list(inputs["profiles"], UNKNOWN)
    failures = []
    if target.get("profile") is not None:
        advice = "remove one of them; with a `spec`, give `incus` without `profile` too"
        failures.append(Failure(("incus", "profile"), conflict("`profiles`", advice)))
    return {**inputs, "incus": {**target, "profile": listed}}, failures


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _plan(spec: RuntimeSpec) -> tuple[IncusRuntimePlan, tuple[Problem, ...]]:
    try:
        return spec.build_incus_plan(), ()
    except RuntimeSpecError as error:
        fields = {name: getattr(spec, name) for name in SPEC_FIELDS}
        # Only to find further problems; a plan with problems is never applied.
        plan = IncusRuntimePlan.model_construct(**{**fields, "mounts": plan_mounts(spec.mounts)})
        return plan, error.problems


def _concerns(problem: Problem) -> tuple[Path, ...]:
    """Return the inputs that a problem depends on.

    If one of them is unknown or invalid, the problem may not exist.
    """
    paths = (parse_path(problem.location), *_CONCERNS.get(type(problem).__name__, ()))
    if isinstance(problem, InvalidPath) and problem.reason == OUTSIDE:
        paths += (_ROOT,)
    return paths


def _without_own_devices(plan: IncusRuntimePlan, options: RuntimeOptions) -> RuntimeOptions:
    """Remove the plan's own devices from `devices`.

    `check` shows all devices there, and Pulumi returns them with `ignore_changes`.
    """
    own = declared_devices(plan, options.model_copy(update={"devices": {}}))
    theirs = {
        name: device
        for name, device in options.devices.items()
        if {**device, "pool": ""} != {**own.get(name, {}), "pool": ""}
    }
    if len(theirs) == len(options.devices):
        return options
    return options.model_copy(update={"devices": theirs})


def without_plans_devices(shown: Devices, given: Devices, *, own_root: bool) -> Devices:
    """Return the devices without those that an earlier plan created.

    `check` shows all devices in `devices`, and Pulumi returns those for
    `ignore_changes=["devices"]`, even if the plan has other devices now.

    Args:
        shown: the devices that an earlier `check` returned.
        given: the devices of the program, which are not changed.
        own_root: whether the earlier plan had a root disk with a size.
    """
    return {
        name: device
        for name, device in given.items()
        if name not in shown
        or shown[name] != device
        or not (name.startswith(DEVICE_NAME_PREFIX) or (own_root and name == ROOT_DEVICE))
    }


def plan_paths_of(path: Path) -> list[Path]:
    """Return the paths in the plan at which a part of the spec appears."""
    if path[0] != "mounts" or len(path) < 3:
        return [path]
    mount, name = path[:2], path[2]
    if name == "mode":
        return [(*mount, "read_only"), (*mount, "io_bus")]
    shown = [(*mount, name)]
    return [*shown, (*mount, "device_name")] if name in _NAMING else shown


_NAMING: Final = frozenset({"kind", "source", "guest_path"})
"""The parts of a mount from which a device's name is derived."""


def affects_device_name(path: Path) -> bool:
    """Return whether a device's name depends on this part of the spec."""
    return path[0] == "mounts" and (len(path) < 3 or path[2] in _NAMING)


def _show_unknown(
    tree: dict[str, Any], unknown: Iterable[Path], device_names: list[str]
) -> dict[str, Any]:
    for path in unknown:
        if path[0] in SPEC_FIELDS:
            for shown in plan_paths_of(path):
                set_path(tree, shown, UNKNOWN)
    return tree


def _show_unknown_devices(
    devices: Devices, unknown: Iterable[Path], device_names: list[str]
) -> dict[str, Any] | str:
    tree: dict[str, Any] = {name: dict(device) for name, device in devices.items()}
    for path in sorted(unknown, key=str):
        if path == ("devices",) or affects_device_name(path):
            return UNKNOWN
        if path[0] == "mounts" and path[2] == "mode":
            # Mounts that are not a list have no devices.
            if isinstance(path[1], int) and path[1] < len(device_names):
                set_path(tree, (device_names[path[1]], "readonly"), UNKNOWN)
        elif path in (("resources",), ("resources", "root_disk_gib")):
            root = {"type": "disk", "path": "/"}
            tree[ROOT_DEVICE] = {**tree.get(ROOT_DEVICE, root), "size": UNKNOWN}
        elif path[0] == "mount_storage_pools":
            for index, name in enumerate(device_names):
                if path in (("mount_storage_pools",), ("mount_storage_pools", index)):
                    set_path(tree, (name, "pool"), UNKNOWN)
        elif path[0] == "mount_options":
            for index, name in enumerate(device_names):
                if path[:2] == ("mount_options", index) and len(path) == 3:
                    tree[name][str(path[2])] = UNKNOWN
        elif path == ("storage_pool",):
            for device in tree.values():
                source = device.get("source", "/") if isinstance(device, dict) else "/"
                if not source.startswith("/"):
                    device["pool"] = UNKNOWN
        elif path[0] == "devices":
            set_path(tree, path[1:], UNKNOWN)
    return tree
