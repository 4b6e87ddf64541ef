"""Print the plan of a spec, or all its problems: `python -m pulumi_pika plan`."""

import argparse
import json
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .frame import (
    WRONG,
    CommandRefused,
    add_spec,
    command_parser,
    run_framed,
)

if TYPE_CHECKING:
    from ..planner.plan import IncusRuntimePlan
    from .console import Screen
    from .interrupts import Interruption
    from .spec_file import SpecFile, SpecProblem

_EPILOG: Final = """\
The command sends no request to a host. The plan goes to standard output. Problems go to standard
error, each as FILE:LINE:COLUMN: PROPERTY: PROBLEM.

With --json, standard output has one object in any case: `plan` is the plan, or null if there are
problems. `problems` is a list; each problem has `code`, `path`, `message`, `file`, `line` and
`column`. The codes do not change between versions, but the messages may.

exit code:
  0    the spec is valid
  2    the arguments or the spec are not valid, or another error occurred
  141  the reader of standard output ended first, as with `| head`
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
        parser.error("the following argument is required: SPEC; - reads JSON from standard input")
    if options.json and options.format:
        parser.error("argument --json: not allowed with argument --format")
    return run_framed(partial(_run, options))


def _parser(program: str) -> argparse.ArgumentParser:
    parser = command_parser(
        program,
        usage="[OPTION...] SPEC",
        description="Show the plan of a spec, or all its problems.",
        epilog=_EPILOG,
    )
    add_spec(parser, required=False)
    parser.add_argument(
        "--format", choices=["json", "text"], help="the format of the plan (default: json)"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--json", action="store_true", help="show the plan or the problems as one JSON object"
    )
    shown.add_argument(
        "--explain",
        metavar="DEVICE",
        help="show which mount has the device of this name, and how the name is computed",
    )
    shown.add_argument(
        "--schema", action="store_true", help="show the JSON Schema of a spec, for editors"
    )
    return parser


def _run(options: argparse.Namespace, screen: "Screen", _: "Interruption") -> int:
    if options.schema:
        from ..schema import schema_text

        screen.raw(schema_text().encode())
        return 0
    # Imported late: help and an invalid option do not need these modules.
    from ..planner.spec import RuntimeSpec
    from .console import RED
    from .spec_file import (
        find_spec_problems,
        problem_list,
        read_spec,
        with_provider,
    )

    try:
        spec = read_spec(options.spec)
    except CommandRefused as error:
        if options.json:
            screen.raw(_outcome(None, [_unreadable(error)]).encode())
        raise
    problems = find_spec_problems(spec, {})
    if options.explain is not None:
        screen.raw(_explained(options, spec).encode("utf-8", "backslashreplace"))
    if problems:
        if options.json:
            listed = [_problem_object(problem, spec.name) for problem in problems]
            screen.raw(_outcome(None, listed).encode())
        lines = [problem.line(spec.name) for problem in problems]
        screen.line(problem_list(lines, spec.name), RED)
        return WRONG
    if options.explain is None:
        plan = RuntimeSpec.model_validate(with_provider(spec.tree)).build_incus_plan()
        if options.json:
            shown = _outcome(plan.to_dict(), [])
        else:
            shown = _table(plan) if options.format == "text" else _json(plan.to_dict())
        screen.raw(shown.encode())
    return 0


def _outcome(plan: dict[str, Any] | None, problems: list[dict[str, Any]]) -> str:
    return _json({"plan": plan, "problems": problems})


def _problem_object(problem: "SpecProblem", name: str) -> dict[str, Any]:
    from ..validation.property_tree import path_text

    place = problem.place
    return {
        "code": problem.code,
        "path": path_text(problem.failure.path),
        "message": str(problem.failure.reason),
        "file": name,
        "line": place.line if place else None,
        "column": place.column if place else None,
    }


def _unreadable(error: CommandRefused) -> dict[str, Any]:
    """Return the problem of a file that is not a spec at all."""
    return {
        "code": error.code,
        "path": "",
        "message": str(error),
        "file": None,
        "line": None,
        "column": None,
    }


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
        place = spec.places.location_of(path)
        at = f"{spec.name}:{place.line}:{place.column}"
        mounts.append(PlacedMount(mount, f"mounts[{index}]", at))
    return explain(options.explain, mounts, spec.name)


def _json(tree: dict[str, Any]) -> str:
    from ..text_safety import visible_json

    text = json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False)
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
