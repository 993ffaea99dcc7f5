"""The training room: a dataset's table and a recipe become a fitted pipeline with what was measured on it."""

from everloop.core.lazy import submodules

__getattr__ = submodules(__name__, ["skopsfile"])
