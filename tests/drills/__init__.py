"""Kill, cut and corrupt: what is left must be whole."""
