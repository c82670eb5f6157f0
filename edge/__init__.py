"""What a model is, where it runs and how it is measured.

>>> import edge
>>> edge.deploy(module, contract, targets=["litert-cpu"], out="out")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.pipeline import deploy as deploy
    from edge.pipeline import deploy_model as deploy_model

__all__ = ["deploy", "deploy_model"]


def __getattr__(name: str) -> Any:
    """Import the whole way only when it is used, so that `import edge` stays light."""
    if name in __all__:
        from edge import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'edge' has no attribute {name!r}")
