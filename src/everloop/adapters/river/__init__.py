"""River: detectors of concept drift on streams of errors, by the names they have there."""

from .detectors import DETECTORS

__all__ = ["DETECTORS"]
