"""Monitoring in production: references, windows, checks, and what is made of them."""
