from .test_stages import place, places

__all__ = ["place", "places"]
