"""Print the plan of a spec, or all its problems: `python -m pulumi_pika plan`."""

import argparse
import json
from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..planner.plan import IncusRuntimePlan
    from .console import Screen
    from .spec_file import SpecFile

WRONG: Final = 2
"""The exit code if the arguments or the spec are not valid, and for any other error."""
CLOSED: Final = 141
"""The exit code that a shell reports for a program that SIGPIPE ended."""

_EPILOG = """\
No host is asked. The plan goes to standard output, problems to standard error, each with its place
as FILE:LINE:COLUMN and its property.

exit code:
  0    the spec is right
  2    the arguments or the spec are wrong, or another error
  141  standard output was closed meanwhile, as by `| head`
"""


def main(program: str, arguments: Sequence[str]) -> int:
    """Run the command `plan`; return the exit code.

    Args:
        program: The name of the command, for messages.
        arguments: The arguments after `plan`.
    """
    parser = _parser(program)
    options = parser.parse_args(arguments)
    if options.spec is None and not options.schema:
        parser.error("name the file of the spec; - reads JSON from standard input")
    # Imported late: help and an invalid option do not need these modules.
    from .console import (
        RED,
        OutputClosed,
        Screen,
    )
    from .spec_file import SpecRefused

    screen = Screen()
    try:
        return _run(options, screen)
    except SpecRefused as error:
        screen.line(f"error: {error}", RED)
        return WRONG
    except OutputClosed:
        return CLOSED
    except OSError as error:
        screen.line(f"error: standard output: cannot be written: {error.strerror or error}", RED)
        return WRONG
    except Exception as error:
        from ..errors import internal_error_message

        screen.line(f"error: {internal_error_message(error)}", RED)
        return WRONG


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        usage=f"{program} [OPTION...] SPEC",
        description="Show the plan of a spec, or all that is wrong with it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "spec",
        metavar="SPEC",
        nargs="?",
        help="the spec: a JSON file, or YAML where it is named .yaml or .yml; - reads JSON from "
        "standard input",
    )
    parser.add_argument(
        "--format", choices=["json", "text"], default="json", help="how the plan is shown (json)"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--explain",
        metavar="DEVICE",
        help="show which mount the device of this name belongs to, and how the name is made",
    )
    shown.add_argument(
        "--schema", action="store_true", help="show the JSON Schema of a spec, for editors"
    )
    return parser


def _run(options: argparse.Namespace, screen: "Screen") -> int:
    if options.schema:
        from ..schema import schema_text

        screen.raw(schema_text().encode())
        return 0
    from ..planner.spec import RuntimeSpec
    from .console import RED
    from .spec_file import (
        find_spec_problems,
        problem_list,
        read_spec,
        with_provider,
    )

    spec = read_spec(options.spec)
    problems = find_spec_problems(spec, {})
    if options.explain is not None:
        screen.raw(_explained(options, spec).encode("utf-8", "backslashreplace"))
    if problems:
        listed = [problem.line(spec.name) for problem in problems]
        screen.line(problem_list(listed, spec.name), RED)
        return WRONG
    if options.explain is None:
        plan = RuntimeSpec.model_validate(with_provider(spec.tree)).build_incus_plan()
        shown = _table(plan) if options.format == "text" else _json(plan)
        screen.raw(shown.encode())
    return 0


def _explained(options: argparse.Namespace, spec: "SpecFile") -> str:
    from ..planner.spec import RuntimeSpec
    from ..validation.lenient_validation import validate_leniently
    from ..validation.property_tree import paths_overlap
    from .explain import PlacedMount, explain
    from .spec_file import with_provider

    # A collision of names is a problem that the user wants explained, so it is not an error here.
    fitted = validate_leniently(RuntimeSpec, with_provider(deepcopy(spec.tree)), ())
    mounts = []
    for index, mount in enumerate(fitted.model.mounts):
        path = ("mounts", index)
        if any(paths_overlap(path, wrong) for wrong in fitted.unresolved):
            continue
        place = spec.places.of(path)
        at = f"{spec.name}:{place.line}:{place.column}"
        mounts.append(PlacedMount(mount, f"mounts[{index}]", at))
    return explain(options.explain, mounts, spec.name)


def _json(plan: "IncusRuntimePlan") -> str:
    from ..text_safety import visible_json

    text = json.dumps(plan.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    return visible_json(text) + "\n"


def _table(plan: "IncusRuntimePlan") -> str:
    from ..text_safety import without_breaks

    identity, incus, resources = plan.identity, plan.incus, plan.resources
    limits = [
        f"{value} {unit}"
        for value, unit in (
            (resources.vcpu_count, "CPUs"),
            (resources.memory_mib, "MiB of memory"),
            (resources.root_disk_gib, "GiB of root disk"),
        )
        if value is not None
    ]
    head = [
        ("runtime", identity.runtime_id),
        ("instance", identity.instance_name),
        ("project", incus.project),
        ("profile", incus.profile),
        ("image", incus.image_alias),
        ("limits", ", ".join(limits) or "none"),
        ("restart", plan.policies.restart_policy),
    ]
    lines = [f"{what:<8}  {value}" for what, value in head]
    if plan.mounts:
        rows = [("DEVICE", "KIND", "SOURCE -> GUEST PATH", "MODE")]
        rows += [
            (
                mount.device_name,
                mount.kind,
                f"{mount.source} -> {mount.guest_path}",
                ("read_only" if mount.read_only else "read_write")
                + (", required" if mount.required else ""),
            )
            for mount in plan.mounts
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines.append("")
        lines += [
            "  ".join([*(f"{row[n]:<{widths[n]}}" for n in range(3)), row[3]]) for row in rows
        ]
    return "".join(f"{without_breaks(line)}\n" for line in lines)
