"""The template style: FastAPI, sync routes, SQLModel, a session and PyJWT a request, as its documents have it."""

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlmodel import Field, Session, SQLModel, create_engine, select

engine = create_engine(
    f"postgresql+psycopg://postgres@/{os.environ['PGDATABASE']}?host={os.environ['PGHOST']}&port={os.environ['PGPORT']}",
    pool_size=40,
)
app = FastAPI()


class Satker(SQLModel, table=True):
    __tablename__ = "pp_satker"
    id: str = Field(primary_key=True)
    pp_id: str
    catalog_id: str


class Attempt(SQLModel, table=True):
    __tablename__ = "attempt"
    id: str = Field(primary_key=True)
    catalog_id: str
    satker_id: str
    state: str
    company_id: str | None
    company_name: str | None


class Access(SQLModel, table=True):
    __tablename__ = "access"
    satker_id: str = Field(primary_key=True)
    attempt_id: str
    via: str
    granted_at: datetime


class CompanyOut(SQLModel):
    company_id: str
    name: str


class MappingOut(SQLModel):
    satker_id: str
    status: str
    company: CompanyOut | None
    via: str | None
    mapped_at: datetime | None


def session() -> Iterator[Session]:
    with Session(engine) as one:
        yield one


def caller(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    try:
        claims = jwt.decode(
            bearer.credentials, os.environ["JWT_KEY"], algorithms=["RS256"], audience="satu-pp", issuer="bela"
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None
    return str(claims["sub"])


@app.get("/v1/satkers/{satker_id}/mapping")
def get_mapping(
    db: Annotated[Session, Depends(session)], pp_id: Annotated[str, Depends(caller)], satker_id: str
) -> MappingOut:
    statement = (
        select(Satker, Attempt, Access)
        .outerjoin(
            Attempt,
            (Attempt.catalog_id == Satker.catalog_id) & Attempt.state.in_(("calling", "uncertain", "mapped")),
        )
        .outerjoin(Access, (Access.satker_id == Satker.id) & (Access.attempt_id == Attempt.id))
        .where(Satker.id == satker_id, Satker.pp_id == pp_id)
    )
    found = db.exec(statement).first()
    if found is None:
        raise HTTPException(404)
    satker, attempt, access = found
    company = access and CompanyOut(company_id=attempt.company_id, name=attempt.company_name)
    return MappingOut(
        satker_id=satker.id,
        status="mapped" if access else "unmapped",
        company=company,
        via=access and access.via,
        mapped_at=access and access.granted_at,
    )
