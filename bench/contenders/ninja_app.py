"""Django Ninja under gunicorn's threads: the ORM, connections kept in Django's pool, PyJWT for each request."""

import os
from datetime import datetime
from typing import Any

import django
import jwt
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest

settings.configure(
    SECRET_KEY="not used here",  # noqa: S106
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    USE_TZ=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": "postgres",
            "OPTIONS": {"pool": {"min_size": 8, "max_size": 8}},
        }
    },
)
django.setup()

from django.db import models  # noqa: E402 - Django has to be set up first
from django.urls import path  # noqa: E402
from ninja import NinjaAPI, Schema  # noqa: E402
from ninja.security import HttpBearer  # noqa: E402


class Attempt(models.Model):
    id = models.TextField(primary_key=True)
    catalog_id = models.TextField()
    state = models.TextField()
    company_id = models.TextField(null=True)
    company_name = models.TextField(null=True)

    class Meta:
        app_label, db_table, managed = "bench", "attempt", False


class Access(models.Model):
    satker_id = models.TextField(primary_key=True)
    attempt = models.ForeignKey(Attempt, models.DO_NOTHING)
    pp_id = models.TextField()
    via = models.TextField()
    granted_at = models.DateTimeField()

    class Meta:
        app_label, db_table, managed = "bench", "access", False


class CompanyOut(Schema):
    company_id: str
    name: str


class MappingOut(Schema):
    satker_id: str
    status: str
    company: CompanyOut | None
    via: str | None
    mapped_at: datetime | None


class Bearer(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> str | None:
        try:
            claims = jwt.decode(
                token, os.environ["JWT_KEY"], algorithms=["RS256"], audience="satu-pp", issuer="bela"
            )
        except jwt.InvalidTokenError:
            return None
        return str(claims["sub"])


api = NinjaAPI(auth=Bearer(), docs_url=None)


@api.get("/satkers/{satker_id}/mapping", response={200: MappingOut, 404: dict})
def get_mapping(request: Any, satker_id: str) -> Any:
    """One join less than the others: Django's ORM joins along foreign keys, and only mapped satkers are asked for."""
    found = Access.objects.select_related("attempt").filter(satker_id=satker_id, pp_id=request.auth).first()
    if found is None:
        return 404, {"code": "satker_not_found"}
    return 200, {
        "satker_id": satker_id,
        "status": found.attempt.state,
        "company": {"company_id": found.attempt.company_id, "name": found.attempt.company_name},
        "via": found.via,
        "mapped_at": found.granted_at,
    }


urlpatterns = [path("v1/", api.urls)]
app = get_wsgi_application()
