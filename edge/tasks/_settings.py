"""Read the settings of a contract's decoder."""

from __future__ import annotations

from edge.contract import Contract
from edge.errors import ContractError


def number(contract: Contract, name: str, default: float) -> float:
    """Return a setting that is a number; raises ContractError for anything else."""
    settings = contract.postprocess.settings if contract.postprocess else {}
    value = settings.get(name, default)
    if isinstance(value, (int, float)):
        return float(value)
    raise ContractError(f"postprocess.settings.{name} is {value!r}; it must be a number")
