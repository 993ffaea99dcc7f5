"""Detectors of concept drift by name: ours, those that libraries bring, and those of the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from everloop.core.errors import Invalid, InvalidSettings, nearest

from .concept import RisingLoss, reference_losses


@runtime_checkable
class Detector(Protocol):
    """Reads losses (0 for right, 1 for an error, or a loss of 0 and more) in the order of prediction time."""

    def update(self, values: Any) -> list[int]:
        """Takes the next losses; the positions in ``values`` at which an alarm was raised. After an alarm the
        detector starts anew."""
        ...


Make = Callable[..., Detector]
"""Makes a detector from the reference's losses (in the order of time) and options."""

DEFAULT = "rising_loss"


def rising_loss(reference: Any, **options: Any) -> Detector:
    """Our default: an anytime-valid test that the mean loss has risen by more than a tenth."""
    return RisingLoss(reference_losses(reference, ordered=options.pop("ordered", True)), **options)


class Detectors:
    """Names and what makes the detector of that name."""

    def __init__(self, makers: Mapping[str, Make] | None = None) -> None:
        self._makers: dict[str, Make] = {DEFAULT: rising_loss, **(makers or {})}

    def names(self) -> list[str]:
        return sorted(self._makers)

    def register(self, name: str, maker: Any) -> None:
        """``maker`` is a class with ``update`` (made with the options alone), or a function
        ``(reference, values) -> positions of alarms`` that keeps nothing between calls. Raises Invalid."""
        if not name or not name.replace("_", "").replace("-", "").isalnum():
            raise Invalid(f"'{name}' is no name of a detector.", remedy="Use letters, digits, - and _.")
        if name in self._makers:
            raise Invalid(f"There is a detector '{name}' already.", remedy="Choose another name.")
        if isinstance(maker, type):
            if not callable(getattr(maker, "update", None)):
                raise Invalid(
                    f"The class {maker.__name__} has no method 'update'.",
                    remedy="Write update(self, values) that returns the positions of alarms.",
                )
            self._makers[name] = _Made(maker)
        elif callable(maker):
            self._makers[name] = _Wrapped(maker)
        else:
            raise Invalid(f"{maker!r} is neither a class nor a function.", remedy="Register one of them.")

    def make(self, name: str, reference: Any, **options: Any) -> Detector:
        """Raises InvalidSettings for a name that nobody registered or options it does not take."""
        if name not in self._makers:
            raise InvalidSettings(f"There is no detector '{name}'.", remedy=nearest(name, self._makers))
        try:
            return self._makers[name](reference, **options)
        except (TypeError, ValueError) as error:
            raise InvalidSettings(
                f"The detector '{name}' does not take these options: {error}.",
                remedy=f"Given: {', '.join(options) or 'none'}.",
            ) from error


class _Made:
    """A user's class, made without the reference."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __call__(self, reference: Any, **options: Any) -> Detector:
        made: Detector = self._kind(**options)
        return made


class _Wrapped:
    """A user's function as a detector."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, reference: Any, **options: Any) -> Detector:
        return _Function(self._function, reference, options)


class _Function:
    def __init__(self, function: Callable[..., Any], reference: Any, options: Mapping[str, Any]) -> None:
        self._function, self._reference, self._options = function, reference, options

    def update(self, values: Any) -> list[int]:
        return [int(at) for at in self._function(self._reference, values, **self._options)]
