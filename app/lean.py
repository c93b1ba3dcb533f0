"""Where a server begins, before anything else is imported: what libraries import only because it is there stays out.

Each of them asks whether it is there and goes on without: rich and pygments (structlog and httpx, for terminals),
watchfiles (uvicorn, for --reload), pydantic.v1 (FastAPI, for models of that time).
"""

import gc
import sys

UNUSED = ("rich", "pygments", "watchfiles", "pydantic.v1")

for name in UNUSED:
    sys.modules.setdefault(name, None)  # type: ignore[arg-type]

import pydantic  # noqa: E402 - after what it would import

# Models are built when they are first used. Most of FastAPI's never are: they describe a document, which is read from a
# file here. A twelfth of a start, and 2 MB.
pydantic.BaseModel.model_config["defer_build"] = True

gc.set_threshold(1_000_000)  # as in __main__, for each worker too; app/serving.py sets it for serving
