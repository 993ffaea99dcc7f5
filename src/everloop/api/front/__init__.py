"""A worker: answers predictions from models in memory, forwards everything else to the office."""
