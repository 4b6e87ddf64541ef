"""Bring a host to a plan, in place or by a replacement, and undo what failed. No Pulumi."""
