"""The tools of the developers of pulumi_pika: `python3 dev COMMAND`. They need only the standard
library."""
