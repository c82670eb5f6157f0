"""What bounds an operator: its operations and bytes against the machine's measured peaks.

The roofline model (Williams, Waterman and Patterson, Communications of the ACM 52(4), 2009): an operator takes at
least max(operations / peak operations, bytes / peak bandwidth); the greater of the two names its bound, and its share
of the measured time says how near to the roof the operator is. Bytes are counted once each, as from memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edge.profile.records import Bound, OperatorTime, Peaks

OVERHEAD_BELOW = 0.05  # of the time: where the roofs allow less, something else takes it, such as starting threads


def roof(
    median_us: float, flops: int | None, moved: int | None, dtype: str, peaks: Peaks
) -> tuple[Bound, float | None]:
    """Return an operator's bound and the share of its time that the nearer roof allows.

    Unknown without operations, bytes, a time, or the peak of the dtype that the operations are done in; operators
    without any arithmetic need none.
    """
    if flops is None or moved is None or median_us <= 0 or peaks.bytes_per_s <= 0:
        return "unknown", None
    peak = peaks.flops_per_s.get(dtype, 0.0)
    if flops and peak <= 0:
        return "unknown", None
    compute_us = 1e6 * flops / peak if flops else 0.0
    memory_us = 1e6 * moved / peaks.bytes_per_s
    share = max(compute_us, memory_us) / median_us
    if share < OVERHEAD_BELOW:
        return "overhead", share
    return ("compute" if compute_us > memory_us else "memory"), share


def labelled(operators: Sequence[OperatorTime], dtypes: Sequence[str], peaks: Peaks | None) -> tuple[OperatorTime, ...]:
    """Return the operators with `bound` and `roof_share`; as they are where no peaks were measured."""
    if peaks is None:
        return tuple(operators)
    found = []
    for operator, dtype in zip(operators, dtypes, strict=True):
        # The peaks are the CPU's.
        bound, share = (
            roof(operator.median_us, operator.flops, operator.bytes, dtype, peaks)
            if operator.unit == "cpu"
            else ("unknown", None)
        )
        found.append(msgspec.structs.replace(operator, bound=bound, roof_share=share))
    return tuple(found)


def remarks_of(operators: Sequence[OperatorTime], peaks: Peaks | None) -> tuple[str, ...]:
    """Say what the labels cannot: operators above the roof."""
    above = [operator for operator in operators if (operator.roof_share or 0.0) > 1.0]
    if peaks is None or not above:
        return ()
    inside = sum(1 for operator in above if operator.bound == "memory")
    parts = []
    if inside:
        parts.append(f"{inside} operators are faster than memory allows: their tensors stay in the caches")
    if len(above) - inside:
        parts.append(
            f"{len(above) - inside} operators are faster than the measured compute peak: the kernels that it was "
            "measured with are slower than theirs"
        )
    return tuple(parts)
