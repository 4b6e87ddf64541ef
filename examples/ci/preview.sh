#!/bin/sh
# Previews a stack, writes the report into one comment of the pull or merge request, and fails the
# pipeline if a condition of the gate is met.
#
#   preview.sh STACK [ARGUMENT...]     in the program's directory; arguments go to pulumi preview
#
#   PIKA_FAIL_ON   the conditions of the gate; see `python -m pulumi_pika report --help`
#                  (errors,delete-data,stop-keeping-data)
#   PIKA_REPORT    the file of the report (pika-report.md)
#   PIKA_COMMENT   off: no comment. Otherwise comment.py reads the variables of the forge.
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

# --show-sames: the diagram also has unchanged resources. --show-replacement-steps: otherwise the JSON
# lacks the deletes that an earlier, failed update left pending (pkg/backend/display, shouldShow).
previewed=0
pulumi preview --json --show-sames --show-replacement-steps --non-interactive --stack "$stack" \
    "$@" >"$preview" || previewed=$?

# If PIKA_FAIL_ON is empty, there is no gate: only a failed preview fails the pipeline.
conditions="${PIKA_FAIL_ON-errors,delete-data,stop-keeping-data}"
gate=0
"$python" -m pulumi_pika report "$preview" --format markdown --output "$report" \
    ${conditions:+--fail-on "$conditions"} || gate=$?
if [ "$gate" -gt 1 ]; then
    # There is no report. The error of pulumi is above.
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
