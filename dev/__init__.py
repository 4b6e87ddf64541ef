"""What a developer of pulumi_pika runs: `python3 dev COMMAND`. Standard library only."""
