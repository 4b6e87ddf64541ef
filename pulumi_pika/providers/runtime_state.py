"""Read and write the state of an `IncusRuntime`, which is in its outputs.

The state has the inputs of the program unchanged. `plan`, `devices` and the options are what was
applied, or what a refresh found. The rest describes the instance: status, addresses, image,
location.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from ..planner.device_names import DEVICE_NAME_PREFIX
from ..planner.plan import IncusRuntimePlan
from ..reconcile.instances.desired import (
    DesiredInstance,
    Devices,
    declared_devices,
    is_host_path,
)
from ..reconcile.instances.live_instance import (
    Expected,
    LiveInstance,
    observed_options,
    observed_plan,
    outputs_of,
)
from ..reconcile.instances.placement import is_root
from ..reconcile.instances.runtime_options import RuntimeOptions
from ..reconcile.shared.ownership import Claim
from ..validation.hidden_property import CREATE_FIRST, HOST, MANAGED_MOUNTS, RETAINED
from ..validation.plan_inputs import (
    OPTION_FIELDS,
    SECRET_INPUTS,
    SPEC_FIELDS,
    plan_inputs,
)
from ..validation.property_tree import get_path, without_provider
from .replace_on_changes import REPLACE_ON
from .schema_version import GENERATION, SCHEMA_VERSION

INPUTS: Final = (
    *SPEC_FIELDS,
    *OPTION_FIELDS,
    SECRET_INPUTS,
    REPLACE_ON,
    MANAGED_MOUNTS,
    RETAINED,
    HOST,
    CREATE_FIRST,
    "plan",
    "instance_name",
    "on_delete",
)
"""The names of the inputs that `check` returns."""


@dataclass(frozen=True, slots=True)
class State:
    """The outputs of an earlier create, update or refresh."""

    outputs: dict[str, Any]
    plan: IncusRuntimePlan
    """The plan that was applied, computed again from the inputs in the state."""
    plan_tree: dict[str, Any]
    """The plan that the last refresh found; after drift, it may not be a valid plan."""
    options: RuntimeOptions
    """The options that the last refresh found; their devices are those of the program."""
    devices: Devices
    left_out: frozenset[str]
    pool: str | None
    """The pool of the custom volumes; without volumes, that of the root disk."""
    root_pool: str | None
    """The pool of the root disk."""
    uuid: str
    generation: str
    """The generation of the instance that this state manages; see `reconcile.shared.ownership`."""
    original_image_fingerprint: str
    """The fingerprint of the image that the instance was created from."""
    plan_digest: str
    secret_inputs: list[str]

    @classmethod
    def read(cls, outputs: dict[str, Any]) -> "State":
        """Return the state from a resource's outputs, as Pulumi passes them to the provider."""
        tree = without_provider(outputs)
        devices = {
            name: {key: str(value) for key, value in device.items()}
            for name, device in _as_dict(tree.get("devices")).items()
            if isinstance(device, dict)
        }
        own_root = get_path(tree, ("plan", "resources", "root_disk_gib")) is not None
        theirs = {
            name: device
            for name, device in devices.items()
            if not name.startswith(DEVICE_NAME_PREFIX) and not (own_root and is_root(device))
        }
        examined = plan_inputs({**tree, "devices": theirs})
        left_out = tree.get("skipped_mounts")
        pool = tree.get("volume_storage_pool") or None
        return cls(
            outputs=tree,
            plan=examined.plan,
            plan_tree=_as_dict(tree.get("plan")),
            options=examined.options,
            devices=devices,
            left_out=frozenset(left_out if isinstance(left_out, list) else ()),
            pool=pool,
            # A state of an older version does not have it.
            root_pool=tree.get("root_storage_pool") or pool,
            uuid=str(tree.get("uuid") or ""),
            generation=str(tree.get(GENERATION) or ""),
            original_image_fingerprint=str(tree.get("original_image_fingerprint") or ""),
            plan_digest=str(tree.get("plan_digest") or ""),
            secret_inputs=[str(text) for text in tree.get(SECRET_INPUTS) or []],
        )

    def claim(self, *owners: str) -> Claim:
        """Return what this state knows about its instance.

        Args:
            owners: Further URNs of the resource, for example its new one.
        """
        return Claim(
            owners=(self.options.owner, *owners),
            generation=self.generation,
            identity=self.uuid,
            runtime_id=self.plan.identity.runtime_id,
        )

    @property
    def inputs(self) -> dict[str, Any]:
        """Return the inputs of the program, as the state has them."""
        return {name: self.outputs[name] for name in INPUTS if name in self.outputs}

    @property
    def has_volumes(self) -> bool:
        """Return whether the instance has mounts of custom volumes."""
        return any(not is_host_path(mount.source) for mount in self.plan.mounts)

    def refreshed(self, live: LiveInstance) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return outputs and inputs that describe the live instance.

        Without drift, both are unchanged, so that a refresh changes nothing.
        """
        expected = Expected(
            plan=self.plan,
            options=self.options,
            devices=self.devices,
            left_out=self.left_out,
            pool=self.pool,
            fingerprint=self.original_image_fingerprint,
            status=str(self.outputs.get("status") or ""),
        )
        plan = observed_plan(live, expected)
        options = observed_options(live, expected)
        applied = self.options.model_dump(exclude_none=True)
        names = set(self.devices) | set(declared_devices(self.plan, self.options))
        outputs = {
            **self.outputs,
            # An unchanged value keeps the spelling of the program.
            **{name: value for name, value in options.items() if value != applied.get(name)},
            **outputs_of(live, names, self.options.access_interface),
            "plan": plan,
            GENERATION: self.generation or live.generation,
        }
        if not self.has_volumes and self.options.storage_pool is None:
            outputs["volume_storage_pool"] = live.root_pool
        if self.options.running is None:
            outputs.pop("running", None)
        inputs = {name: outputs[name] for name in INPUTS if name in outputs}
        inputs.update(_spec_of(self.outputs, self.plan.to_dict(), plan))
        if self.options.profiles is not None and isinstance(inputs.get("incus"), dict):
            # The profile of the plan is derived from `profiles`, and is not an input then.
            inputs["incus"] = {k: v for k, v in inputs["incus"].items() if k != "profile"}
        inputs["devices"] = _as_declared(
            outputs["devices"],
            declared_devices(self.plan, self.options),
            self.pool,
            live.root_pool,
            self.left_out,
        )
        return outputs, inputs


def outputs_after(
    inputs: dict[str, Any], desired: DesiredInstance, live: LiveInstance
) -> dict[str, Any]:
    """Return the outputs of a create or an update.

    Args:
        inputs: The inputs that were applied.
        desired: The desired instance.
        live: The instance as it is now.
    """
    return {
        **inputs,
        **outputs_of(live, set(desired.devices), desired.options.access_interface),
        "plan": desired.plan.to_dict(),
        "skipped_mounts": list(desired.left_out),
        "volume_storage_pool": desired.pool or live.root_pool,
        "original_image_fingerprint": live.fingerprint,
        "current_alias_fingerprint": live.fingerprint,
        GENERATION: live.generation,
        "schema_version": SCHEMA_VERSION,
    }


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_declared(
    live: Devices,
    declared: Devices,
    pool: str | None,
    root_pool: str | None,
    left_out: Collection[str],
) -> Devices:
    """Return the devices as `check` shows them. A device without drift is returned in its declared
    form. This form lacks a pool that the server chose, and the name of a profile's root disk."""
    roots = [name for name, device in declared.items() if is_root(device)]
    shown: Devices = {name: declared[name] for name in left_out if name in declared}
    for name, device in live.items():
        own = roots[0] if roots and name not in declared and is_root(device) else name
        wanted = declared.get(own)
        if wanted is None:
            shown[own] = device
            continue
        if is_root(device):
            as_wanted = {"pool": root_pool, **wanted}
        elif name.startswith(DEVICE_NAME_PREFIX):
            # The volume stays in its pool, even if `storage_pool` changes with a root disk.
            as_wanted = {**wanted, "pool": pool}
        else:
            as_wanted = {"pool": pool, **wanted}
        if device in (wanted, as_wanted):
            shown[own] = wanted
        else:
            shown[own] = device
    return shown


def _spec_of(
    outputs: dict[str, Any], planned: dict[str, Any], seen: dict[str, Any]
) -> dict[str, Any]:
    """Return the inputs of the spec, changed where the found plan differs from the planned one."""
    inputs: dict[str, Any] = {}
    for name in SPEC_FIELDS:
        if planned.get(name) == seen.get(name):
            continue
        if name == "mounts":
            inputs[name] = [_spec_mount(mount) for mount in seen[name]]
        elif isinstance(seen.get(name), dict):
            given = dict(outputs.get(name) or {})
            for key in planned.get(name, {}).keys() | seen[name].keys():
                if planned.get(name, {}).get(key) != seen[name].get(key):
                    given.pop(key, None)
                    if key in seen[name]:
                        given[key] = seen[name][key]
            inputs[name] = given
        else:
            inputs[name] = seen.get(name)
    return inputs


def _spec_mount(mount: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        key: mount[key] for key in ("kind", "guest_path", "source") if key in mount
    }
    spec["mode"] = "read_only" if mount.get("read_only") else "read_write"
    if mount.get("required"):
        spec["required"] = True
    return spec
