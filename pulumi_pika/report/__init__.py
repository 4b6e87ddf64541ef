"""Build the report of a preview for its reviewer. The package does no I/O, and needs neither Pulumi
nor Incus."""
