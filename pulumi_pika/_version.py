"""The version, read by the build and by `pulumi_pika.__version__`."""

__version__ = "0.1.0"
