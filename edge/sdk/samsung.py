"""Samsung's Exynos AI LiteCore, which only Samsung hands out; LiteRT loads it, ExecuTorch needs adaptors with it."""

from __future__ import annotations

from edge.sdk import Sdk, sdk

_LIBRARIES = "lib/x86_64-linux"


def _litecore(name: str, title: str, obtain: str, more: tuple[str, ...] = ()) -> Sdk:
    return Sdk(
        name=name,
        group="samsung",
        title=title,
        vendor="Samsung",
        version="1",
        licence="Samsung's own licence, accepted when downloading",
        obtain=obtain,
        required=(f"{_LIBRARIES}/libgraph_wrapper.so", f"{_LIBRARIES}/libgraphgen_api.so", *more),
        variables={"EXYNOS_AI_LITECORE_ROOT": "{root}", "LD_LIBRARY_PATH": f"{{root}}/{_LIBRARIES}"},
    )


@sdk
def litecore() -> Sdk:
    """Describe LiteCore's folder, for LiteRT."""
    return _litecore(
        "samsung-litecore",
        "Samsung Exynos AI LiteCore",
        "the folder above lib/x86_64-linux that `pip install ai-edge-litert-sdk-samsung-nightly` downloads",
    )


@sdk
def litecore_executorch() -> Sdk:
    """Describe LiteCore's folder with `python/`, the adaptors that ExecuTorch's build makes against it."""
    return _litecore(
        "samsung-litecore-executorch",
        "Samsung Exynos AI LiteCore with ExecuTorch's adaptors",
        "https://soc-developer.semiconductor.samsung.com/global/development/ai-litecore; build ExecuTorch's "
        "backends/samsung/build.sh -b x86_64 against it and copy backends/samsung/python/Py*.so to DIR/python",
        ("python",),
    )
