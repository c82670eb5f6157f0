"""Published measurements on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from edge.profile.reference import MEANING, References


def describe_references(found: References) -> Iterator[str]:
    """Yield published figures, grouped by network and source, with where and when each was read."""
    if not found.found:
        yield found.reason
        return
    yield f"Published by others, not measured by the kit; nearest to {found.asked} first, nothing scaled:"
    last: tuple[str, ...] = ()
    for item in found.found:
        group = (item.model, item.address, item.measured)
        if group != last:
            last = group
            yield ""
            yield f"{item.model}: {MEANING[item.nearness]} ({item.difference})"
            day = f"{item.date}" if item.dated == "published" else f"no date, read {item.date}"
            yield f"  {item.measured}"
            yield f"  {item.address} ({day})"
        yield (
            f"    {item.latency_ms:>8.6g} ms  {item.unit}  {item.precision:<10}  {item.runtime:<16}  "
            f"{item.device} ({item.soc})"
        )
