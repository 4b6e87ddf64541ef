from ...support.host_fixtures import certificate, cluster, server, trusted

__all__ = ["certificate", "cluster", "server", "trusted"]
