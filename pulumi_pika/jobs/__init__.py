"""Jobs: run one command in an instance and collect its outputs."""
