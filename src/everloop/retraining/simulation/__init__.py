"""A made or remembered world in which the real decisions are made, day after day; what must always hold."""
