"""All tests. Shared parts are imported as ``tests.servers``."""
