"""A client of Incus's REST API. It knows nothing of plans and nothing of Pulumi."""
