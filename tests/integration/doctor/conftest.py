from ...support.host_fixtures import certificate, server, trusted

__all__ = ["certificate", "server", "trusted"]
