"""What float16 can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.errors import Refused

if TYPE_CHECKING:
    from convert.program import Program

HALF_MAX = 65504.0  # largest finite float16


def check_half_range(program: Program) -> None:
    """Raise Refused naming the first weight whose magnitude float16 cannot hold."""
    for name, tensor in program.exported.state_dict.items():
        if not tensor.is_floating_point() or tensor.numel() == 0:
            continue
        largest = float(tensor.detach().abs().max())
        if largest > HALF_MAX:
            raise Refused(f"{name} reaches {largest:.3g}, float16 ends at {HALF_MAX:.0f}; use --precision fp32")
