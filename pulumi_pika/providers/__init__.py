"""The dynamic providers: check, diff, create, read, update and delete, thin over `reconcile`."""
