"""Serving, side by side with its peers: requests a second, latency, CPU, memory, start."""
