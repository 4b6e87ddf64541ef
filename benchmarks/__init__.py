"""Measure pulumi_pika against minimum costs of the same run: `python -m benchmarks`."""
