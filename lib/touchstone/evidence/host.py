"""Facts about the machine, kept apart from the findings."""

from __future__ import annotations

import os
import platform
from typing import Any

from threadpoolctl import threadpool_info


def host_facts() -> dict[str, Any]:
    """Processors, platform, full Python version and the BLAS libraries that are loaded; no names of hosts."""
    pools = [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]
    return {
        "processors": os.cpu_count(),
        "processors_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "blas": [
            {key: pool.get(key) for key in ("internal_api", "version", "num_threads", "architecture")}
            for pool in pools
        ],
    }
