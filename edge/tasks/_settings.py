"""Read the settings of a contract's decoder."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from edge.contract import Contract
from edge.errors import ContractError

Rule = TypeVar("Rule", bound=msgspec.Struct)


def settings_as(contract: Contract, rule: type[Rule], decoder: str) -> Rule:
    """Return a decoder's settings as the struct that describes them; raises ContractError for unknown or other ones."""
    settings = contract.postprocess.settings if contract.postprocess else {}
    try:
        return msgspec.convert(settings, rule)
    except msgspec.ValidationError as error:
        raise ContractError(f"postprocess.settings of {decoder}: {error}") from None


def number(contract: Contract, name: str, default: float) -> float:
    """Return a setting that is a number; raises ContractError for anything else."""
    settings = contract.postprocess.settings if contract.postprocess else {}
    value = settings.get(name, default)
    if isinstance(value, (int, float)):
        return float(value)
    raise ContractError(f"postprocess.settings.{name} is {value!r}; it must be a number")
