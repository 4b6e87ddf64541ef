"""`python -m pulumi_pika plan`: what a spec comes to, or all that is wrong with it."""

import argparse
import json
from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..planner.plan import IncusRuntimePlan
    from ..providers.shape import Failure
    from .places import Place, Places
    from .screen import Screen

WRONG: Final = 2
"""The exit code where the arguments or the spec are wrong, and of any other error."""
CLOSED: Final = 141
"""As of a program that SIGPIPE ends, in a shell."""

_EPILOG = """\
No host is asked. The plan goes to standard output, problems to standard error, each with its place
as FILE:LINE:COLUMN and its property.

exit code:
  0    the spec is right
  2    the arguments or the spec are wrong, or another error
  141  standard output was closed meanwhile, as by `| head`
"""


def main(program: str, arguments: Sequence[str]) -> int:
    """Prints a plan as the arguments say; returns the exit code.

    Args:
        program: what it is called in its messages.
        arguments: what follows `plan`.
    """
    parser = _parser(program)
    options = parser.parse_args(arguments)
    if options.spec is None and not options.schema:
        parser.error("name the file of the spec; - reads JSON from standard input")
    # Only now: help, and a wrong option, need none of what comes with it.
    from .screen import RED, OutputClosed, Screen
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
        from ..providers.errors import own_fault

        screen.line(f"error: {own_fault(error)}", RED)
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
    from .places import find_places
    from .spec_file import (
        SpecRefused,
        find_spec_problems,
        is_yaml,
        parse_spec,
        spec_text,
        with_provider,
    )
    from .text_file import shown_name

    text = spec_text(options.spec)
    tree = parse_spec(options.spec, text)
    try:
        places = find_places(text, as_yaml=is_yaml(options.spec))
    except RecursionError:
        # Below a key that stands again: the tree does not have it.
        raise SpecRefused(f"{shown_name(options.spec)}: is nested too deeply") from None
    problems = [(failure, _place_of(failure, places)) for failure in find_spec_problems(tree, {})]
    problems += places.repeated
    if options.explain is not None:
        screen.raw(_explained(options, tree, places).encode("utf-8", "backslashreplace"))
    if problems:
        _report(problems, options.spec, screen)
        return WRONG
    if options.explain is None:
        plan = RuntimeSpec.model_validate(with_provider(tree)).build_incus_plan()
        shown = _table(plan) if options.format == "text" else _json(plan)
        screen.raw(shown.encode())
    return 0


def _place_of(failure: "Failure", places: "Places") -> "Place":
    # These are about a key, whatever its value.
    about_key = failure.reason.startswith(("is unknown", "is no field", "key "))
    return places.of(failure.path, key=about_key)


def _report(problems: list[tuple["Failure", "Place"]], file: str, screen: "Screen") -> None:
    from ..providers.values import path_text
    from .screen import RED
    from .text_file import shown_name

    name = shown_name(file)
    lines = []
    for failure, place in sorted(problems, key=lambda found: found[1]):
        where = f"{path_text(failure.path)}: " if failure.path else ""
        lines.append(f"  {name}:{place.line}:{place.column}: {where}{failure.reason}")
    count = f"{len(lines)} problem{'' if len(lines) == 1 else 's'}"
    screen.line("\n".join([f"error: {name}: {count}", *lines]), RED)


def _explained(options: argparse.Namespace, tree: dict[str, Any], places: "Places") -> str:
    from ..planner.spec import RuntimeSpec
    from ..providers.shape import fit
    from ..providers.values import touches
    from .explain import PlacedMount, explain
    from .spec_file import with_provider
    from .text_file import shown_name

    name = shown_name(options.spec)
    # Names that collide are problems, and just what there is to explain: go on past them.
    fitted = fit(RuntimeSpec, with_provider(deepcopy(tree)), ())
    mounts = []
    for index, mount in enumerate(fitted.model.mounts):
        path = ("mounts", index)
        if any(touches(path, wrong) for wrong in fitted.open):
            continue
        place = places.of(path)
        mounts.append(PlacedMount(mount, f"mounts[{index}]", f"{name}:{place.line}:{place.column}"))
    return explain(options.explain, mounts, name)


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
