"""What runs in the guest: one POSIX shell script that prepares, runs the work under its time limit,
and leaves word of how it ended.

It needs no more than a shell, and `setsid` where there is one. How the work ended is written to a
file as well, so that the outcome is known though the daemon, which followed it, was restarted.
"""

import json
import shlex
from dataclasses import dataclass
from typing import Final

from ..planner.plan import IncusRuntimePlan
from .job_options import JobOptions

SCRIPT_PATH: Final = "/.pika-job.sh"
"""In the guest's root, which is there from the first moment, unlike what is mounted on `/run`."""
FOLDER: Final = "/.pika-job"
BEGUN_PATH: Final = f"{FOLDER}/begun"
"""Is there once the work was begun, and holds the script's process id."""
EXIT_PATH: Final = f"{FOLDER}/exit"
"""Holds the exit code, and `timed-out` behind it where the time limit ended the work."""
OUTPUT_PATH: Final = f"{FOLDER}/output"
"""Holds what the work writes, where the work is detached."""
TIMED_OUT: Final = "timed-out"

REQUEST_SCHEMA_VERSION: Final = 2
PREPARE_FAILED: Final = 125
"""The script's exit code where the work was not begun; what it says on standard error tells why."""
KILL_AFTER: Final = 10
"""Seconds between the polite end of a work whose time is up, and the other one."""
ENTRY_GRACE: Final = 10
"""Seconds that an entry command, which keeps the time limit itself, is given beyond it."""


@dataclass(frozen=True, slots=True)
class Script:
    """The script, and how it is to be called.

    Attributes:
        text: what stands in `SCRIPT_PATH`.
        steps: the arguments of each call, and whether it runs as root.
        limit: seconds after which the work is ended in the guest.
        output: the file in the guest that holds what the work writes; empty where the server
            records it.
    """

    text: str
    steps: tuple[tuple[tuple[str, ...], bool], ...]
    limit: int
    output: str = ""


def request_of(options: JobOptions) -> str:
    """The request file, as a guest's entry command reads it."""
    return json.dumps(
        {
            "schema_version": REQUEST_SCHEMA_VERSION,
            "command": options.command,
            "timeout_secs": options.timeout_secs,
            "run_as_root": options.run_as_root,
        }
    )


def script_of(plan: IncusRuntimePlan, options: JobOptions, *, is_detached: bool = False) -> Script:
    """The script of a job.

    A detached work goes on when what started it is ended, and writes to a file in the guest. A
    virtual machine's is: its agent ends a command when the daemon that relays it is restarted, and
    the daemon records nothing more of it.

    An entry command runs as root, whatever the command is to run as: it reads the request file and
    sees to that itself.
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


# systemd mounts /run over what was there before; until it has, nothing may be put there
# (sd_booted(3): /run/systemd/system tells). The time limit is kept by a process of its own, with
# the work in a session of its own, so that all of it can be ended.
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
    mkdir -p {folder} {folders} || fail "cannot make the job's directories"
    rm -f {exit_path} {begun_path} {output} {folder}/{timed_out}
    (umask 077 && printf '%s\\n' {request} >{request_path}) || fail "cannot write "{request_path}
    (umask 077 && printf '%s\\n' {work} >{folder}/work) || fail "cannot write {folder}/work"
    [ {owner} = 0:0 ] || chown {owner} {folder} {folder}/work {folders} {request_path} ||
        fail "cannot give the job's directories to user {owner}"
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
        # Ended by somebody else, it says nothing of the time; the limit is kept from outside too.
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
