"""A guest whose image has a stand-in for cloud-init, which is a Python program of 100 MB in images.

It keeps the files and answers the command as cloud-init 24 does (`cloudinit/cmd/main.py` and
`status.py`): `/run/cloud-init/status.json` and `result.json` are links to files in
`/var/lib/cloud/data`, which are written as it begins and ends. Of the user-data it runs the list
`runcmd`, one command a line, and nothing else. A command that fails becomes an error of the stage
`modules-final`, a command `recoverable TEXT` a recoverable one.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from dev import image
from dev.packages import busybox

from ..conftest import Sandbox

_COMMAND = """\
#!/bin/sh
data=/var/lib/cloud/data run=/run/cloud-init
stages() { # start, end, errors, recoverable errors, stage
    printf '{"v1": {"datasource": "DataSourceNoCloud [seed=/var/lib/cloud/seed/nocloud-net]",'
    printf ' "modules-final": {"errors": [%s], "finished": %s, "recoverable_errors": {%s},' \\
        "$3" "$2" "$4"
    printf ' "start": %s}, "stage": %s}}\\n' "$1" "$5"
}
if [ "$1" = status ]; then
    [ "$2 $3" = "--format json" ] || exit 2
    if [ -e /etc/cloud/cloud-init.disabled ]; then
        printf '{"status": "disabled", "extended_status": "disabled", "errors": [],'
        printf ' "detail": "Cloud-init disabled by /etc/cloud/cloud-init.disabled"}\\n'
    elif [ ! -e $run/status.json ]; then
        printf '{"status": "not started", "extended_status": "not started", "errors": []}\\n'
    elif [ ! -e $run/result.json ]; then
        printf '{"status": "running", "extended_status": "running", "errors": []}\\n'
    elif grep -q '"errors": \\[\\]' $data/result.json; then
        printf '{"status": "done", "extended_status": "done", "errors": []}\\n'
    else
        printf '{"status": "error", "extended_status": "error - done", "errors":'
        sed 's/.*"errors": \\(.*\\)}}/ \\1}/' $data/result.json
        exit 1
    fi
    exit 0
fi
[ -e /etc/cloud/cloud-init.disabled ] && exit 0
rm -rf $run $data
mkdir -p $run $data
stages 1732547547.5 null "" "" '"modules-final"' >$data/status.json
ln -s ../../var/lib/cloud/data/status.json $run/status.json
export errors=/tmp/errors soft=/tmp/soft
: >$errors; : >$soft
recoverable() { echo "$*" >>$soft; }
sed -n '/^runcmd:/,/^[a-z]/s/^- //p' /var/lib/cloud/user-data >/tmp/runcmd
while read -r line || [ -n "$line" ]; do
    eval "$line" || echo failed >>$errors
done </tmp/runcmd >/var/log/cloud-init-output.log 2>&1
why=
[ -s $errors ] && why='"('"'scripts_user'"', RuntimeError('"'Runparts: 1 failures (runcmd)'"'))"'
warned=
[ -s $soft ] && warned="\\"WARNING\\": [\\"$(cat $soft)\\"]"
stages 1732547547.5 1732547549.8 "$why" "$warned" null >$data/status.json
printf '{"v1": {"datasource": "DataSourceNoCloud", "errors": [%s]}}\\n' "$why" >$data/result.json
ln -s ../../var/lib/cloud/data/result.json $run/result.json
"""
_FILES = {
    "usr/bin/cloud-init": (_COMMAND, 0o755),
    "etc/rc": ("[ -e /etc/late ] && sleep 1\n/usr/bin/cloud-init init\n", 0o755),
}


@contextmanager
def cloud_init_image(sandbox: Sandbox, *, disabled: bool = False) -> Iterator[str]:
    """The alias of an image with it, while the block runs."""
    alias = f"pika/cloud-{secrets.token_hex(3)}"
    files = {**_FILES, "etc/late": ("", 0o644)}
    if disabled:
        files["etc/cloud/cloud-init.disabled"] = ("", 0o644)
    target = sandbox.daemon.directory / "cloud.tar"
    image.build(target, busybox(), marker=alias, more_files=files)
    fingerprint = sandbox.daemon.import_image(target, alias)
    try:
        yield alias
    finally:
        sandbox.daemon.request("DELETE", f"/images/{fingerprint}")
