"""Resolve, copy, upload, share, change and delete images."""
