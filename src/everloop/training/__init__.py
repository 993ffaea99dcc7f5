"""The training room: a dataset's table and a recipe become a fitted pipeline with what was measured on it.
These submodules load on first use: who only shows what is known needs none of their libraries."""

from everloop.core.lazy import submodules

__getattr__ = submodules(__name__, ["fitting", "skopsfile"])
