"""The contents of data versions as stored objects: packs of segments, and a manifest for each version.

``<tenant>/packs/<hash>.pack`` and ``<tenant>/versions/<version id>.manifest`` behind the port ``Blobs``.
"""
