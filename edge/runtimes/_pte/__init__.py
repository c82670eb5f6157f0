"""A reference executor of `.pte` files whose delegates no runtime of this machine knows.

It reads the very bytes that ship. The program's instructions run in order: an operator outside the delegates by
torch's operator of the same name (ExecuTorch's portable kernels implement torch's definitions), a delegate by the
interpreter of its backend that the caller brings. The native reader checks the file's structure first.
"""

from __future__ import annotations

from edge.runtimes._pte.execute import Delegate, Executor, Loader
from edge.runtimes._pte.program import Payload, Plan, read_plan
from edge.runtimes._pte.session import PteSession

__all__ = ["Delegate", "Executor", "Loader", "Payload", "Plan", "PteSession", "read_plan"]
