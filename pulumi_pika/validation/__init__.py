"""Validation of property trees, without Pulumi: typed models, options and the plan."""
