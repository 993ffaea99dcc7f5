"""Versioning data, side by side with its peers: twenty versions of a table, faults, and drills of scale."""
