"""The validation room: a table against its contract gives a verdict. Pandera has its one way in here.
These submodules load on first use: it takes a second to load."""

from everloop.core.lazy import submodules

__getattr__ = submodules(__name__, ["checking", "python_schema"])
