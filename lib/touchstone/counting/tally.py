"""Tallies: counters of named events, kept by whatever the events happen to.

Structures, oracles, channels and streams keep a ``.tally``, a ``collections.Counter`` of events such as
``queries``, ``words``, ``bits``, ``rows``, ``nodes``. One tally per size feeds the same scaling rule as the
counted arithmetic: ``Series(sizes, events(tallies, "queries"))``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


def tally_of(source: Any) -> Counter[str]:
    """A copy of the tally of ``source``: an object with ``.tally``, or a mapping of events to counts.

    Raises ``TypeError`` for anything else and ``ValueError`` for a count that is not an integer >= 0.
    """
    counts = source if isinstance(source, Mapping) else getattr(source, "tally", None)
    if not isinstance(counts, Mapping):
        raise TypeError(f"{type(source).__name__}: expected a tally or an object that keeps one")
    for event, number in counts.items():
        if isinstance(number, bool) or not hasattr(number, "__index__") or number < 0:
            raise ValueError(f"tally[{event!r}]={number!r}: expected an integer >= 0")
    return Counter({event: int(number) for event, number in counts.items()})


def merged(*sources: Any) -> Counter[str]:
    """The sum of the tallies of ``sources`` (see ``tally_of``), event by event; a new counter."""
    total: Counter[str] = Counter()
    for source in sources:
        total.update(tally_of(source))
    return total


def events(sources: Iterable[Any], event: str) -> list[int]:
    """How often ``event`` happened in each of ``sources``, as Python integers, in order.

    Raises ``KeyError`` when one of the tallies has never heard of the event: a count that was not kept must
    not pass for zero.
    """
    counts = []
    for i, source in enumerate(sources):
        tally = tally_of(source)
        if event not in tally:
            known = ", ".join(sorted(map(str, tally))) or "nothing"
            raise KeyError(f"{event!r} is not counted by source {i}, which counts {known}")
        counts.append(tally[event])
    return counts
