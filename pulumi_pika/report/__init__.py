"""What a reviewer wants to see of a preview. Pure: no I/O, no Pulumi, no Incus."""
