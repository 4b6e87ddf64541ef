"""The exception for contradictory arguments."""

import pulumi

from ..errors import PikaError


# A RunError ends the program with its message and without a traceback.
class InvalidArguments(PikaError, pulumi.RunError, ValueError):
    """The arguments of a resource contradict each other. It is raised before Pulumi registers the
    resource."""
