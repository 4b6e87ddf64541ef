"""Create, change, adopt and delete instances."""
