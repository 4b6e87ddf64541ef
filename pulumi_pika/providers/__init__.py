"""The dynamic providers: a thin layer of check, diff, create, read, update and delete over
`reconcile`."""
