"""Where immutable bytes are kept."""
