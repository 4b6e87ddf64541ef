"""Build the POSIX shell script that runs in the guest. It prepares the command, runs it under its
time limit, and records how it ended.

The script needs only a shell, and uses `setsid` if it exists. It writes the result to a file too:
the outcome is then known even if the Incus daemon was restarted.
"""

import json
import shlex
from dataclasses import dataclass
from typing import Final

from ..planner.plan import IncusRuntimePlan
from .job_options import JobOptions

SCRIPT_PATH: Final = "/.pika-job.sh"
"""The path is in the guest's root directory, which exists from the start, unlike mounts on
`/run`."""
FOLDER: Final = "/.pika-job"
BEGUN_PATH: Final = f"{FOLDER}/begun"
"""The file exists as soon as the command was started, and contains the script's process id."""
EXIT_PATH: Final = f"{FOLDER}/exit"
"""The file contains the exit code, followed by `timed-out` if the time limit ended the command."""
OUTPUT_PATH: Final = f"{FOLDER}/output"
"""The file contains the output of the command, if the command is detached."""
TIMED_OUT: Final = "timed-out"

REQUEST_SCHEMA_VERSION: Final = 2
PREPARE_FAILED: Final = 125
"""The script's exit code if the command was not started; its standard error has the reason."""
KILL_AFTER: Final = 10
"""Seconds between SIGTERM and SIGKILL for a command that exceeded its time limit."""
ENTRY_GRACE: Final = 10
"""Additional seconds for an entry command, which enforces the time limit itself."""


@dataclass(frozen=True, slots=True)
class Script:
    """The script, and how to call it.

    Attributes:
        text: The content of `SCRIPT_PATH`.
        steps: The arguments of each call, and whether the call runs as root.
        limit: Seconds after which the guest ends the command.
        output: The file in the guest that contains the output of the command; empty if the server
            records the output.
    """

    text: str
    steps: tuple[tuple[tuple[str, ...], bool], ...]
    limit: int
    output: str = ""


def request_of(options: JobOptions) -> str:
    """Return the content of the request file, which a guest's entry command reads."""
    return json.dumps(
        {
            "schema_version": REQUEST_SCHEMA_VERSION,
            "command": options.command,
            "timeout_secs": options.timeout_secs,
            "run_as_root": options.run_as_root,
        }
    )


def script_of(plan: IncusRuntimePlan, options: JobOptions, *, is_detached: bool = False) -> Script:
    """Return the script of a job.

    A detached command continues if the process that started it is ended, and writes to a file in
    the guest. The command of a virtual machine is detached: the agent ends a command if the daemon
    that relays it is restarted, and the daemon records nothing more of it.

    An entry command always runs as root. It reads the user of the command from the request file and
    switches to that user itself.

    Args:
        plan: The plan, which may have an entry command.
        options: The options of the job.
    """
    entry = plan.bootstrap.entry_command
    as_root = options.run_as_root or entry is not None
    limit = options.timeout_secs + (0 if entry is None else ENTRY_GRACE)
    owner = "0:0" if as_root else f"{options.uid}:{options.gid}"
    paths = plan.paths
    folders = {
        paths.state_dir,
        paths.logs_dir,
        paths.artifacts_dir,
        *(
            path.rpartition("/")[0]
            for path in (
                paths.guest_request_path,
                paths.events_path,
                paths.status_path,
                paths.result_path,
                paths.guest_log_path,
            )
        ),
    }
    exports = "\n".join(
        f"export {key}={shlex.quote(value)}" for key, value in sorted(options.environment.items())
    )
    text = _TEMPLATE.format(
        folder=FOLDER,
        script=SCRIPT_PATH,
        output=OUTPUT_PATH,
        exit_path=EXIT_PATH,
        begun_path=BEGUN_PATH,
        folders=" ".join(shlex.quote(path) for path in sorted(folders)),
        request_path=shlex.quote(paths.guest_request_path),
        request=shlex.quote(request_of(options)),
        work=shlex.quote(options.command if entry is None else entry),
        owner=owner,
        exports=exports,
        limit=limit,
        kill_after=KILL_AFTER,
        timed_out=TIMED_OUT,
        failed=PREPARE_FAILED,
    )
    run, output = ("detach", OUTPUT_PATH) if is_detached else ("run", "")
    if as_root:
        return Script(text, ((("prepare", run), True),), limit, output)
    return Script(text, ((("prepare",), True), ((run,), False)), limit, output)


# systemd mounts /run over its earlier content, so that no file may be written there before that
# (sd_booted(3): /run/systemd/system shows it). A process of its own enforces the time limit. The
# command has a session of its own, so that all its processes can be ended.
_TEMPLATE: Final = """\
#!/bin/sh
umask 022

fail() {{
    echo "$1" >&2
    exit {failed}
}}

prepare() {{
    case "$(readlink /proc/1/exe 2>/dev/null)" in
    *systemd*)
        tries=0
        until [ -d /run/systemd/system ] || [ "$tries" -ge 300 ]; do
            tries=$((tries + 1))
            sleep 0.1
        done
        ;;
    esac
    mkdir -p {folder} {folders} || fail "could not create the job's directories"
    rm -f {exit_path} {begun_path} {output} {folder}/{timed_out}
    (umask 077 && printf '%s\\n' {request} >{request_path}) || fail "could not write "{request_path}
    (umask 077 && printf '%s\\n' {work} >{folder}/work) || fail "could not write {folder}/work"
    [ {owner} = 0:0 ] || chown {owner} {folder} {folder}/work {folders} {request_path} ||
        fail "could not change the owner of the job's directories to {owner}"
}}

run() {{
    echo "$$" >{begun_path}
{exports}
    group=
    if command -v setsid >/dev/null 2>&1; then
        group=-
        setsid /bin/sh {folder}/work 2>&1 </dev/null &
    else
        /bin/sh {folder}/work 2>&1 </dev/null &
    fi
    work=$!
    (
        trap 'kill "$nap"; exit 0' TERM
        sleep {limit} &
        nap=$!
        # If another process ended it, the time is not over; the host enforces the limit too.
        wait "$nap" || exit 0
        echo {timed_out} >{folder}/{timed_out}
        kill -s TERM -- "$group$work"
        sleep {kill_after} &
        nap=$!
        wait "$nap"
        kill -s KILL -- "$group$work"
    ) >/dev/null 2>&1 </dev/null &
    watch=$!
    wait "$work"
    code=$?
    kill -s TERM "$watch" 2>/dev/null
    why=
    [ -e {folder}/{timed_out} ] && why=" {timed_out}"
    printf '%s\\n' "$code$why" >{exit_path}.part && mv {exit_path}.part {exit_path}
    exit "$code"
}}

detach() {{
    if command -v setsid >/dev/null 2>&1; then
        setsid /bin/sh {script} run >{output} 2>/dev/null </dev/null &
    else
        /bin/sh {script} run >{output} 2>/dev/null </dev/null &
    fi
    wait "$!"
}}

for step in "$@"; do "$step"; done
"""
