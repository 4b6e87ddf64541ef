"""Deploys agents by a script, with no stack folder of the user's: Pulumi's Automation API.

    export PULUMI_CONFIG_PASSPHRASE=...
    python3 deploy.py --state ~/agents ada ben     # shows what would change, asks, and does it
    python3 deploy.py --state ~/agents --yes ada   # ben goes; nobody is asked
    python3 deploy.py --state ~/agents --destroy

The state is in the folder that is given; secrets in it are encrypted with the passphrase. What is
shown before is the report of `python -m pulumi_pika report`.

Exit code 0: all is as it was asked for; 1: it failed, or was not wanted; 2: a mistake in how it was
called, and nothing was tried.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pulumi
from pulumi import automation

from pulumi_pika import IncusRuntime

PROJECT = "pika_automation"
PASSPHRASES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


class Failed(Exception):
    """What was tried did not work. The message is for the user."""


def main() -> int:
    options = arguments()
    try:
        stack = open_stack(options)
        if would_change(stack, options) and not options.yes and not confirmed():
            raise Failed("not confirmed; nothing was changed")
        change(stack, options)
    except Failed as error:
        complain(f"error: {error}")
        return 1
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deploy agents.", allow_abbrev=False)
    parser.add_argument("agents", metavar="NAME", nargs="*", help="the agents there are to be")
    parser.add_argument("--state", metavar="DIR", type=Path, required=True, help="of the stack")
    parser.add_argument("--stack", metavar="NAME", default="dev", help="%(default)s")
    parser.add_argument("--prefix", default="pika-", help="of the instances: %(default)s")
    parser.add_argument("--image", metavar="ALIAS", default="pika-agent/dev", help="%(default)s")
    parser.add_argument("--instance-type", metavar="TYPE", default="virtual-machine")
    parser.add_argument("--yes", action="store_true", help="do it without being asked")
    parser.add_argument("--destroy", action="store_true", help="delete all agents")
    options = parser.parse_args()
    if bool(options.agents) == options.destroy:
        parser.error("name the agents, or give --destroy")
    if not any(name in os.environ for name in PASSPHRASES):
        parser.error(f"{PASSPHRASES[0]} is not set; it encrypts what is secret in the state")
    if shutil.which("pulumi") is None:
        parser.error("there is no pulumi command; see https://www.pulumi.com/docs/install")
    return options


def open_stack(options: argparse.Namespace) -> automation.Stack:
    """The stack, whose state is in the folder; made if it is to have agents."""

    def program() -> None:
        """Declares the agents. It runs in this process, and may use all that is here."""
        agents = {
            name: IncusRuntime(
                name,
                identity={"runtime_id": name, "instance_name": options.prefix + name},
                incus={"project": "default", "profile": "default", "image_alias": options.image},
                resources={"vcpu_count": 1, "memory_mib": 512},
                instance_type=options.instance_type,
            )
            for name in options.agents
        }
        pulumi.export("status", {name: agent.status for name, agent in agents.items()})

    state = options.state.absolute()
    # Pulumi starts the provider with the first `python3`: the one of this script's environment.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    workspace = automation.LocalWorkspaceOptions(
        # The stack's settings stay there too: a folder that is new each time would lose them.
        work_dir=str(state / "workspace"),
        project_settings=automation.ProjectSettings(name=PROJECT, runtime="python"),
        # A backend in the project's settings would give way to one that the shell has exported.
        env_vars={"PATH": path, "PULUMI_BACKEND_URL": state.as_uri()},
    )
    find = automation.select_stack if options.destroy else automation.create_or_select_stack
    try:
        if not options.destroy:
            (state / "workspace").mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not (state / "workspace").is_dir():
            raise Failed(f"{state} has no state")
        return find(options.stack, project_name=PROJECT, program=program, opts=workspace)
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}") from None
    except automation.CommandError as error:
        raise Failed(reason(error)) from None


def would_change(stack: automation.Stack, options: argparse.Namespace) -> bool:
    """Shows what would change; whether anything would."""
    lines: list[str] = []
    failed = False
    try:
        if options.destroy:
            workspace = stack.workspace
            workspace.pulumi_command.run(
                ["destroy", "--preview-only", "--json", "--stack", stack.name],
                workspace.work_dir,
                workspace.env_vars,
                on_output=lines.append,
            )
        else:
            stack.preview(json=True, on_output=lines.append)
    except automation.CommandError as error:
        if not lines:
            raise Failed(reason(error)) from None
        # What is wrong is in the preview, and comes first in the report.
        failed = True
    text = "\n".join(lines)
    command = [sys.executable, "-m", "pulumi_pika", "report", "--format", "terminal"]
    if subprocess.run(command, input=text, text=True).returncode != 0:
        raise Failed("what would change cannot be shown; nothing was changed")
    if failed:
        raise Failed("it would fail; nothing was changed")
    return bool(json.loads(text).get("changeSummary", {}).keys() - {"same"})


def confirmed() -> bool:
    try:
        return input("Do it? [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print()
        return False


def change(stack: automation.Stack, options: argparse.Namespace) -> None:
    """Does it, and prints the outputs."""
    try:
        if options.destroy:
            stack.destroy(on_output=show, on_error=complain)
            return
        done = stack.up(on_output=show, on_error=complain, suppress_outputs=True)
    except automation.CommandError:
        raise Failed("it failed; see above") from None
    for name, output in done.outputs.items():
        show(f"{name}: {'[secret]' if output.secret else json.dumps(output.value)}")


def reason(error: automation.CommandError) -> str:
    """Pulumi's own words, without what surrounds them."""
    said = [line.partition("error: ")[2] for line in str(error).splitlines()]
    return "\n".join(filter(None, said)) or str(error).strip()


def show(line: str) -> None:
    print(line, flush=True)


def complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
