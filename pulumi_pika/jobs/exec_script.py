"""Build the POSIX shell script that runs one command of an `IncusExec` in a guest.

Each run has a directory of its own, so that any number of commands can run in one instance. The
script starts the command at most once: it creates a directory first, which only one process can.
So a start whose reply was lost is sent again. The command continues if the process that started it
ends, and its output, its process id and its exit code are files. They survive a restart of the
daemon.
"""

import shlex
from collections.abc import Mapping
from typing import Final

from .exec_options import ExecOptions
from .guest_script import KILL_AFTER, TIMED_OUT

ROOT: Final = "/var/lib/pika-exec"
"""The directory of all runs. It is on the root disk: a guest may mount `/run` and `/tmp` again when
it boots."""


def run_folder(run: str) -> str:
    """Return the directory of a run."""
    return f"{ROOT}/{run}"


def script_text(options: ExecOptions, command: str, variables: Mapping[str, str], run: str) -> str:
    """Return the script of a run.

    Args:
        options: The options.
        command: The command for the guest's shell.
        variables: Environment variables besides those of the options.
        run: The name of the run.
    """
    exports = {**variables, **options.environment}
    return _TEMPLATE.format(
        folder=run_folder(run),
        command=shlex.quote(command),
        exports="\n".join(
            f"export {key}={shlex.quote(value)}" for key, value in sorted(exports.items())
        ),
        working_dir=shlex.quote(options.working_dir or "/"),
        stdin="/dev/null" if options.stdin is None else f"{run_folder(run)}/stdin",
        limit=options.timeout_secs,
        kill_after=KILL_AFTER,
        timed_out=TIMED_OUT,
    )


_TEMPLATE: Final = """\
#!/bin/sh
umask 022
dir={folder}

own_session() {{
    if command -v setsid >/dev/null 2>&1; then
        exec setsid "$@"
    fi
    exec "$@"
}}

end() {{
    [ -s "$dir/pid" ] || return 0
    group=
    command -v setsid >/dev/null 2>&1 && group=-
    kill -s "$1" -- "$group$(cat "$dir/pid")" 2>/dev/null
}}

case "$1" in
start)
    mkdir "$dir/begun" 2>/dev/null || exit 0
    (own_session /bin/sh "$dir/run.sh" run) >/dev/null 2>&1 </dev/null &
    ;;
run)
    echo "$$" >"$dir/script"
{exports}
    cd {working_dir} 2>"$dir/stderr" || {{
        echo 126 >"$dir/exit.part" && mv "$dir/exit.part" "$dir/exit"
        exit 126
    }}
    (own_session /bin/sh -c {command}) >"$dir/stdout" 2>"$dir/stderr" <{stdin} &
    work=$!
    echo "$work" >"$dir/pid"
    (
        trap 'kill "$nap"; exit 0' TERM
        sleep {limit} &
        nap=$!
        wait "$nap" || exit 0
        : >"$dir/{timed_out}"
        end TERM
        sleep {kill_after} &
        nap=$!
        wait "$nap"
        end KILL
    ) >/dev/null 2>&1 </dev/null &
    watch=$!
    wait "$work"
    code=$?
    kill -s TERM "$watch" 2>/dev/null
    why=
    [ -e "$dir/{timed_out}" ] && why=" {timed_out}"
    printf '%s\\n' "$code$why" >"$dir/exit.part" && mv "$dir/exit.part" "$dir/exit"
    ;;
stop)
    # From here on, nothing can start the command any more.
    mkdir "$dir/begun" 2>/dev/null && exit 0
    end TERM
    tries=0
    until [ -e "$dir/exit" ] || [ "$tries" -ge {kill_after} ]; do
        tries=$((tries + 1))
        sleep 1
    done
    [ -e "$dir/exit" ] || end KILL
    ;;
esac
"""
