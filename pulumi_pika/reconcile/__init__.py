"""Brings a host to a plan: which steps, in place or anew, and how to take them back. No Pulumi."""
