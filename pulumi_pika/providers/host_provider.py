"""What every provider of ours has in common: the host that its resources are on."""

from pulumi.dynamic import ConfigureRequest, ResourceProvider

# As with every module that a program imports: nothing that costs time comes with it.


class HostProvider(ResourceProvider):
    """Base of the providers whose resources are on an Incus host.

    Without attributes, so that a subclass pickles to a reference that never changes.
    """

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Takes what the `IncusHost`, or the stack config, says of the host."""
        from .clients import configure
        from .engine_watch import watch_engine
        from .parallel import widen

        widen()
        watch_engine()
        configure(req.config)
