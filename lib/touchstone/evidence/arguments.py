"""What a study accepts: each argument checked before anything is measured, each fault named."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from touchstone.evidence.numbers import encoded

Measure = Callable[[], Any]

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def controls_of(control: Any) -> dict[str, Measure]:
    """The controls by name, in order. Raises ``ValueError`` when there is none."""
    if isinstance(control, Mapping):
        pairs = list(control.items())
    elif isinstance(control, tuple) and len(control) == 2 and isinstance(control[0], str):
        pairs = [control]
    elif control is None or (isinstance(control, Sequence) and not isinstance(control, str)):
        pairs = list(control or ())
    else:
        raise ValueError(
            f"control={control!r}: expected a (name, measurement) pair, a list of them or a mapping"
        )
    if not pairs:
        raise ValueError("control: expected at least one, as a check that cannot fail proves nothing")
    for pair in pairs:
        require_pair("control", pair)
    controls = dict(pairs)
    if len(controls) < len(pairs):
        raise ValueError(f"control: names {[name for name, _ in pairs]}: expected different ones")
    return controls


def require_pair(argument: str, pair: Any) -> None:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise ValueError(f"{argument}={pair!r}: expected a (name, measurement) pair")
    name, measure = pair
    if not (isinstance(name, str) and name.strip()):
        raise ValueError(f"{argument} name {name!r}: expected a name in words")
    require_measure(f"{argument} {name!r}", measure)


def require_measure(argument: str, measure: Any) -> None:
    if not callable(measure):
        raise ValueError(f"{argument}={measure!r}: expected a function without arguments that measures")


def require_text(**arguments: Any) -> None:
    for argument, value in arguments.items():
        if not (isinstance(value, str) and value.strip()):
            raise ValueError(f"{argument}={value!r}: expected text")


def require_slug(argument: str, value: Any) -> None:
    if not (isinstance(value, str) and _SLUG.fullmatch(value)):
        raise ValueError(
            f"{argument}={value!r}: expected lower-case words joined by hyphens, like 'c1-entrywise'"
        )


def require_one_of(argument: str, value: Any, options: Sequence[str]) -> None:
    if value not in options:
        raise ValueError(f"{argument}={value!r}: expected one of {', '.join(map(repr, options))}")


def sizes_of(sizes: Any) -> Mapping[str, Any]:
    if sizes is None:
        return {}
    if not isinstance(sizes, Mapping):
        raise ValueError(f"sizes={sizes!r}: expected a mapping of symbols to their values")
    try:
        encoded(sizes)
    except TypeError as error:
        raise ValueError(f"sizes: {error}") from None
    return dict(sizes)
