"""The Python door: what ``from everloop import …`` gives. Each class turns calls into calls of the flows.

What people index with ``[…]`` is a dict or a TypedDict; everything else is a noun of ``core``.
"""
