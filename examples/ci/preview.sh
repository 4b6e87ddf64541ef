#!/bin/sh
# Previews a stack, writes the report, puts it into one comment of the pull or merge request, and
# lets the pipeline fail where something happens that is not to happen unseen.
#
#   preview.sh STACK [ARGUMENT...]     in the program's directory; arguments go to pulumi preview
#
#   PIKA_FAIL_ON   conditions that fail it, as of `python -m pulumi_pika report --help`
#                  (errors,delete-data,stop-keeping-data)
#   PIKA_REPORT    where the report is written (pika-report.md)
#   PIKA_COMMENT   off: no comment. Otherwise comment.py finds out from the variables of the forge.
#   PYTHON         the Python that has pulumi_pika (python3)
#
# Exit code: that of pulumi preview, if it failed; else 1 if a condition holds; else that of the
# comment.
set -u

stack=${1:?usage: preview.sh STACK [ARGUMENT...]}
shift
here=$(cd -- "$(dirname -- "$0")" && pwd) || exit 2
python=${PYTHON:-python3}
report=${PIKA_REPORT:-pika-report.md}

preview=$(mktemp) || exit 2
trap 'rm -f -- "$preview"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --show-sames: the picture then has what does not change as well.
previewed=0
pulumi preview --json --show-sames --non-interactive --stack "$stack" "$@" >"$preview" ||
    previewed=$?

# Set to an empty text, PIKA_FAIL_ON is no condition: then only Pulumi's own failure counts.
conditions="${PIKA_FAIL_ON-errors,delete-data,stop-keeping-data}"
gate=0
"$python" -m pulumi_pika report "$preview" --format markdown --output "$report" \
    ${conditions:+--fail-on "$conditions"} || gate=$?
if [ "$gate" -gt 1 ]; then
    # There is no report. What pulumi said of it is above.
    [ "$previewed" -eq 0 ] || exit "$previewed"
    exit "$gate"
fi

if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    cat -- "$report" >>"$GITHUB_STEP_SUMMARY"
fi
commented=0
if [ "${PIKA_COMMENT:-}" != off ]; then
    "$python" "$here/comment.py" "$report" || commented=$?
fi

[ "$previewed" -eq 0 ] || exit "$previewed"
[ "$gate" -eq 0 ] || exit "$gate"
exit "$commented"
