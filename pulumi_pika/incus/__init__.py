"""Talk to Incus's REST API. This package knows nothing of plans and nothing of Pulumi."""
