"""Deploy agents with a script that needs no stack folder (Automation API).

    export PULUMI_CONFIG_PASSPHRASE=...
    # Show what would change, ask, and apply it.
    python3 deploy.py --state ~/agents ada ben
    # Do not ask. ben is no longer named, and is deleted.
    python3 deploy.py --state ~/agents --yes ada
    # Delete all agents.
    python3 deploy.py --state ~/agents --destroy

The state is in the named folder. Secrets in it are encrypted with the
passphrase. The changes are shown with `python -m pulumi_pika report`.

Exit code 0: the changes were applied, or there were none. 1: they failed, or
were not confirmed. 2: an argument is wrong, and nothing was tried.
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
    """A step failed; the message is for the user."""


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
    parser = argparse.ArgumentParser(
        description="Deploy agents.", allow_abbrev=False
    )
    parser.add_argument("agents", metavar="NAME", nargs="*", help="the agents")
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        required=True,
        help="the folder of the state",
    )
    parser.add_argument(
        "--stack", metavar="NAME", default="dev", help="%(default)s"
    )
    parser.add_argument(
        "--prefix", default="pika-", help="of the instance names: %(default)s"
    )
    parser.add_argument(
        "--image", metavar="ALIAS", default="pika-agent/dev", help="%(default)s"
    )
    parser.add_argument(
        "--instance-type", metavar="TYPE", default="virtual-machine"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--destroy", action="store_true", help="delete all agents"
    )
    options = parser.parse_args()
    if bool(options.agents) == options.destroy:
        parser.error("name the agents, or give --destroy")
    if not any(name in os.environ for name in PASSPHRASES):
        parser.error(
            f"{PASSPHRASES[0]} is not set; it encrypts the secrets in the state"
        )
    if shutil.which("pulumi") is None:
        parser.error(
            "there is no pulumi command; see "
            "https://www.pulumi.com/docs/install"
        )
    return options


def open_stack(options: argparse.Namespace) -> automation.Stack:
    """Return the stack of the folder; create it if agents are named."""

    def program() -> None:
        """Declare the agents. Pulumi calls this in the script's process."""
        agents = {
            name: IncusRuntime(
                name,
                instance_name=options.prefix + name,
                image=options.image,
                vcpu_count=1,
                memory_mib=512,
                instance_type=options.instance_type,
            )
            for name in options.agents
        }
        pulumi.export(
            "status", {name: agent.status for name, agent in agents.items()}
        )

    state = options.state.absolute()
    # Pulumi starts the provider with the first `python3` of PATH, which must be
    # that of this script's environment.
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
    workspace = automation.LocalWorkspaceOptions(
        # The folder also keeps the settings of the stack.
        work_dir=str(state / "workspace"),
        project_settings=automation.ProjectSettings(
            name=PROJECT, runtime="python"
        ),
        # A backend in the environment takes precedence over one in the settings
        # of the project.
        env_vars={"PATH": path, "PULUMI_BACKEND_URL": state.as_uri()},
    )
    find = (
        automation.select_stack
        if options.destroy
        else automation.create_or_select_stack
    )
    try:
        if not options.destroy:
            (state / "workspace").mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not (state / "workspace").is_dir():
            raise Failed(f"{state} has no state")
        return find(
            options.stack, project_name=PROJECT, program=program, opts=workspace
        )
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}") from None
    except automation.CommandError as error:
        raise Failed(reason(error)) from None


def would_change(stack: automation.Stack, options: argparse.Namespace) -> bool:
    """Show the changes; return whether there are any."""
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
        # The errors are part of the preview, and the report begins with them.
        failed = True
    text = "\n".join(lines)
    command = [
        sys.executable,
        "-m",
        "pulumi_pika",
        "report",
        "--format",
        "terminal",
    ]
    if subprocess.run(command, input=text, text=True).returncode != 0:
        raise Failed("the changes cannot be shown; nothing was changed")
    if failed:
        raise Failed("the preview has errors; nothing was changed")
    return bool(json.loads(text).get("changeSummary", {}).keys() - {"same"})


def confirmed() -> bool:
    try:
        return input("Do it? [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print()
        return False


def change(stack: automation.Stack, options: argparse.Namespace) -> None:
    """Apply the changes and print the outputs."""
    try:
        if options.destroy:
            stack.destroy(on_output=show, on_error=complain)
            return
        done = stack.up(
            on_output=show, on_error=complain, suppress_outputs=True
        )
    except automation.CommandError:
        raise Failed("the changes failed; see above") from None
    for name, output in done.outputs.items():
        value = "[secret]" if output.secret else json.dumps(output.value)
        show(f"{name}: {value}")


def reason(error: automation.CommandError) -> str:
    """Return Pulumi's own error messages."""
    said = [line.partition("error: ")[2] for line in str(error).splitlines()]
    return "\n".join(filter(None, said)) or str(error).strip()


def show(line: str) -> None:
    print(line, flush=True)


def complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
