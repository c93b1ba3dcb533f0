"""What each server process starts from, one of several workers too."""

from app import lean  # noqa: F401 - before anything else

# isort: split
from app.serving import app_alone, settling_app

__all__ = ["app_alone", "settling_app"]
