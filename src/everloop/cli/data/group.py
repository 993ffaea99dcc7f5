"""The group that the commands of this package belong to."""

from everloop.cli.call import group

app = group("Register, list, show, export, compare and keep data versions.")
