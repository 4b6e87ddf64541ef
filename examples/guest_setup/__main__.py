"""A container that files and commands set up, without cloud-init in its image.

The files are in the container before its first start. The commands run when
the resource is created, when the schema version changes, and before the
container is deleted.
"""

import pulumi

from pulumi_pika import IncusExec, IncusRuntime

config = pulumi.Config()
schema = config.get("schema") or "1"

MIGRATE = """\
set -e
mkdir -p "$STORE"
echo "schema $SCHEMA" >> "$STORE/migrations"
cat /etc/store.conf >> "$STORE/used-settings"
wc -l < "$STORE/migrations"
"""

store = IncusRuntime(
    "store",
    instance_name=config.get("instance_name") or "pika-store",
    project=config.get("project") or "default",
    image=config.get("image") or "pika-agent/dev",
    # Files before the first start need a container; see docs/guest-setup.md.
    instance_type="container",
    files=[
        {
            "path": "/etc/store.conf",
            "content": f"retention = {config.get('retention') or '7d'}\n",
            "mode": "0640",
        }
    ],
)

migrations = IncusExec(
    "migrations",
    instance=store,
    create=MIGRATE,
    delete='echo goodbye >> "$STORE/migrations"',
    environment={"SCHEMA": schema, "STORE": "/srv/store"},
    timeout_secs=300,
)

pulumi.export("migrations", migrations.stdout)
pulumi.export("duration_secs", migrations.duration_secs)
