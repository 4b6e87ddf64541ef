"""Validate property trees without Pulumi, into typed models, options and the plan."""
