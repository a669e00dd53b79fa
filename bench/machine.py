"""What a benchmark ran on."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu_model() -> str:
    """Name the processor, and whether it computes bfloat16 itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    name = facts.get("model name", platform.processor() or platform.machine())
    native = {"avx512_bf16", "amx_bf16"} & set(facts.get("flags", "").split())
    return f"{name} ({', '.join(sorted(native)) or 'no bfloat16 instructions'})"
