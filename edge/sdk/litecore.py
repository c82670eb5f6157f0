"""Samsung's Exynos AI LiteCore for ExecuTorch: only Samsung hands it out."""

from __future__ import annotations

from edge.sdk import Sdk, sdk

_LIBRARIES = "lib/x86_64-linux"


@sdk
def ai_litecore() -> Sdk:
    """Describe LiteCore's folder with `python/`, the adaptors that ExecuTorch's build makes against it."""
    return Sdk(
        name="samsung-ai-litecore",
        group="samsung-ai-litecore",
        title="Samsung Exynos AI LiteCore with ExecuTorch's adaptors",
        vendor="Samsung",
        version="1",
        licence="Samsung's own licence, accepted when downloading",
        obtain="https://soc-developer.semiconductor.samsung.com/global/development/ai-litecore; build ExecuTorch's "
        "backends/samsung/build.sh -b x86_64 against it and copy backends/samsung/python/Py*.so to DIR/python",
        required=(f"{_LIBRARIES}/libgraphgen_api.so", f"{_LIBRARIES}/libgraph_wrapper.so", "python"),
        variables={"EXYNOS_AI_LITECORE_ROOT": "{root}", "LD_LIBRARY_PATH": f"{{root}}/{_LIBRARIES}"},
    )
