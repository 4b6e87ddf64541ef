"""Parse the state of an `IncusRuntime`, which is in its outputs, and describe the live instance.

The state has the inputs of the program unchanged. `plan`, `devices` and the options are what was
applied, or what a refresh found. The rest describes the instance: status, addresses, image,
location.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

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
from ..validation.plan_inputs import PLANNED_FIELDS, SPEC_FIELDS, plan_inputs
from ..validation.property_tree import Path
from .properties import HiddenOptions, Properties, Values
from .resource_kind import Refreshed
from .schema_version import GENERATION
from .secret_marking import secret_paths_after_refresh


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """The outputs of an earlier create, update or refresh."""

    properties: Properties
    """The outputs themselves, for the spelling of the program."""
    plan: IncusRuntimePlan
    """The plan that was applied, computed again from the inputs in the state."""
    seen_plan: Values
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
    original_image_fingerprint: str
    """The fingerprint of the image that the instance was created from."""
    plan_digest: str
    status: str
    """The status of the instance at the last refresh."""
    current_alias_fingerprint: str
    """The fingerprint that the image alias pointed to at the last refresh."""
    server_fingerprint: str
    """The fingerprint of the certificate of the server that the instance was found on."""

    @classmethod
    def parse(cls, properties: Properties) -> "RuntimeState":
        """Return the state in the properties of the resource."""
        devices = {
            name: {key: str(value) for key, value in device.items()}
            for name, device in _as_dict(properties.at(("devices",))).items()
            if isinstance(device, dict)
        }
        own_root = properties.at(("plan", "resources", "root_disk_gib")) is not None
        theirs = {
            name: device
            for name, device in devices.items()
            if not name.startswith(DEVICE_NAME_PREFIX) and not (own_root and is_root(device))
        }
        examined = plan_inputs({**properties.part(PLANNED_FIELDS), "devices": theirs})
        left_out = properties.at(("skipped_mounts",))
        pool = properties.text("volume_storage_pool") or None
        return cls(
            properties=properties,
            plan=examined.plan,
            seen_plan=Values(_as_dict(properties.at(("plan",)))),
            options=examined.options,
            devices=devices,
            left_out=frozenset(left_out if isinstance(left_out, list) else ()),
            pool=pool,
            # A state of an older version does not have it.
            root_pool=properties.text("root_storage_pool") or pool,
            uuid=properties.text("uuid"),
            original_image_fingerprint=properties.text("original_image_fingerprint"),
            plan_digest=properties.text("plan_digest"),
            status=properties.text("status"),
            current_alias_fingerprint=properties.text("current_alias_fingerprint"),
            server_fingerprint=properties.text("server_fingerprint"),
        )

    @property
    def hidden(self) -> HiddenOptions:
        """Return what the resource passed beside its arguments."""
        return self.properties.hidden

    def claim(self, *owners: str) -> Claim:
        """Return what this state knows about its instance.

        Args:
            owners: Further URNs of the resource, for example its new one.
        """
        return Claim(
            owners=(self.options.owner, *owners),
            generation=self.hidden.generation,
            identity=self.uuid,
            runtime_id=self.plan.identity.runtime_id,
        )

    @property
    def has_volumes(self) -> bool:
        """Return whether the instance has mounts of custom volumes."""
        return any(not is_host_path(mount.source) for mount in self.plan.mounts)

    def refreshed(self, live: LiveInstance) -> Refreshed:
        """Return the outputs and the inputs that describe the live instance.

        Without drift, both are unchanged, so that a refresh changes nothing.
        """
        expected = Expected(
            plan=self.plan,
            options=self.options,
            devices=self.devices,
            left_out=self.left_out,
            pool=self.pool,
            fingerprint=self.original_image_fingerprint,
            status=self.status,
        )
        plan = observed_plan(live, expected)
        options = observed_options(live, expected)
        applied = self.options.model_dump(exclude_none=True)
        names = set(self.devices) | set(declared_devices(self.plan, self.options))
        outputs = {
            # An unchanged value keeps the spelling of the program.
            **{name: value for name, value in options.items() if value != applied.get(name)},
            **outputs_of(live, names, self.options.access_interface),
            "plan": plan,
            GENERATION: self.hidden.generation or live.generation,
        }
        if not self.has_volumes and self.options.storage_pool is None:
            outputs["volume_storage_pool"] = live.root_pool
        removed = []
        if self.options.running is None:
            outputs.pop("running", None)
            removed.append("running")
        inputs = self._observed_spec(Values(plan))
        inputs["devices"] = _as_declared(
            outputs["devices"],
            declared_devices(self.plan, self.options),
            self.pool,
            live.root_pool,
            self.left_out,
        )
        return Refreshed(outputs, removed, inputs, self._secret_with(Values(plan)))

    def unseen(self, status: str) -> Refreshed:
        """Return the state of an instance that exists and cannot be inspected: only its status
        differs."""
        return Refreshed({"status": status}, inputs=None, secret=self._secret_with(self.seen_plan))

    def _secret_with(self, seen: Values) -> list[Path]:
        """Return the paths of the secrets, with the plan that was found."""
        mounts = [str(mount.get("device_name")) for mount in seen.at(("mounts",)) or []]
        applied = [mount.device_name for mount in self.plan.mounts]
        return secret_paths_after_refresh(self.hidden.secret, applied, mounts)

    def _observed_spec(self, seen: Values) -> dict[str, Any]:
        """Return the inputs of the spec for which the found plan differs from the applied one."""
        planned = Values(self.plan.to_dict())
        inputs: dict[str, Any] = {}
        for name in planned.names_that_differ(seen):
            if name not in SPEC_FIELDS:
                continue
            before, after = planned.at((name,)) or {}, seen.at((name,))
            if name == "mounts":
                inputs[name] = [_spec_mount(mount) for mount in after]
            elif isinstance(after, dict):
                given = dict(self.properties.at((name,)) or {})
                for key in before.keys() | after.keys():
                    if before.get(key) != after.get(key):
                        given.pop(key, None)
                        if key in after:
                            given[key] = after[key]
                inputs[name] = given
            else:
                inputs[name] = after
        return inputs


def outputs_after(desired: DesiredInstance, live: LiveInstance) -> dict[str, Any]:
    """Return the outputs of a create or an update, beside the inputs.

    Args:
        desired: The desired instance.
        live: The instance as it is now.
    """
    return {
        **outputs_of(live, set(desired.devices), desired.options.access_interface),
        "plan": desired.plan.to_dict(),
        "skipped_mounts": list(desired.left_out),
        "volume_storage_pool": desired.pool or live.root_pool,
        "original_image_fingerprint": live.fingerprint,
        "current_alias_fingerprint": live.fingerprint,
        GENERATION: live.generation,
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


def _spec_mount(mount: Mapping[str, str | bool]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        key: mount[key] for key in ("kind", "guest_path", "source") if key in mount
    }
    spec["mode"] = "read_only" if mount.get("read_only") else "read_write"
    if mount.get("required"):
        spec["required"] = True
    return spec
