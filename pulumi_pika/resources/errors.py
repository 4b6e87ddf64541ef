"""The error of arguments that contradict each other."""

import pulumi


# A RunError ends the program with its message and without a traceback.
class InvalidArguments(pulumi.RunError, ValueError):
    """Arguments of a resource that contradict each other; found before Pulumi registers it."""
