"""How fast pulumi_pika is, against floors measured in the same run: `python -m benchmarks`."""
