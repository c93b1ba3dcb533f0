"""Where a server begins, before anything else is imported: what libraries import or build without use stays out.

Some modules are imported only because they are there, and done without when they are not: rich and pygments (structlog
and httpx, for terminals), watchfiles (uvicorn, for --reload), pydantic.v1 (FastAPI, for models of that time).
"""

import gc
import sys
import warnings
from types import SimpleNamespace
from typing import Any

gc.set_threshold(1_000_000)  # as in __main__, for each worker too; app/serving.py sets it for serving

UNUSED = ("rich", "pygments", "watchfiles", "pydantic.v1")

for name in UNUSED:
    sys.modules.setdefault(name, None)  # type: ignore[arg-type]

# X.509 is for certificates in the place of keys, which the settings refuse. Whoever else asks for it gets it.
if "cryptography.x509" not in sys.modules:
    sys.modules["cryptography.x509"] = SimpleNamespace(load_pem_x509_certificate=None)  # type: ignore[assignment]
    import jose.backends.cryptography_backend  # noqa: F401

    del sys.modules["cryptography.x509"]

import pydantic  # noqa: E402 - after what it would import
from pydantic.warnings import UnsupportedFieldAttributeWarning  # noqa: E402

# Models are built when they are first used. Most of FastAPI's never are: they describe a document, which is read from a
# file here. A twelfth of a start, and 2 MB.
pydantic.BaseModel.model_config["defer_build"] = True
# What FastAPI keeps quiet about while it has a parameter's model built, pydantic would say when that is used.
warnings.filterwarnings("ignore", category=UnsupportedFieldAttributeWarning)

rebuild = pydantic.BaseModel.__dict__["model_rebuild"]


def when_used(cls: type[pydantic.BaseModel], /, **how: Any) -> bool | None:
    """Without arguments a module asks beforehand; with some it is pydantic, because the model is used."""
    return rebuild.__get__(None, cls)(**how) if how else None


# FastAPI asks for three of them to be built all the same, and these hold the others.
pydantic.BaseModel.model_rebuild = classmethod(when_used)  # type: ignore[assignment,method-assign]
import fastapi  # noqa: E402, F401

pydantic.BaseModel.model_rebuild = rebuild  # type: ignore[method-assign]
