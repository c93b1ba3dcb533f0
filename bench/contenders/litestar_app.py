"""Litestar with advanced-alchemy on asyncpg, its own JWT authentication, msgspec's JSON."""

import os
from datetime import datetime
from typing import Any

from advanced_alchemy.config import EngineConfig
from advanced_alchemy.extensions.litestar import AsyncSessionConfig, SQLAlchemyAsyncConfig, SQLAlchemyPlugin
from litestar import Litestar, Request, get
from litestar.connection import ASGIConnection
from litestar.exceptions import NotFoundException
from litestar.security.jwt import JWTAuth, Token
from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Satker(Base):
    __tablename__ = "pp_satker"
    id: Mapped[str] = mapped_column(primary_key=True)
    pp_id: Mapped[str]
    catalog_id: Mapped[str]


class Attempt(Base):
    __tablename__ = "attempt"
    id: Mapped[str] = mapped_column(primary_key=True)
    catalog_id: Mapped[str]
    state: Mapped[str]
    company_id: Mapped[str | None]
    company_name: Mapped[str | None]


class Access(Base):
    __tablename__ = "access"
    satker_id: Mapped[str] = mapped_column(primary_key=True)
    attempt_id: Mapped[str]
    via: Mapped[str]
    granted_at: Mapped[datetime]


class CompanyOut(Struct):
    company_id: str
    name: str


class MappingOut(Struct):
    satker_id: str
    status: str
    company: CompanyOut | None
    via: str | None
    mapped_at: datetime | None


async def caller(token: Token, _connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    return token.sub


@get("/v1/satkers/{satker_id:str}/mapping")
async def get_mapping(
    db_session: AsyncSession, request: Request[str, Token, Any], satker_id: str
) -> MappingOut:
    statement = (
        select(Satker, Attempt, Access)
        .outerjoin(
            Attempt,
            (Attempt.catalog_id == Satker.catalog_id) & Attempt.state.in_(("calling", "uncertain", "mapped")),
        )
        .outerjoin(Access, (Access.satker_id == Satker.id) & (Access.attempt_id == Attempt.id))
        .where(Satker.id == satker_id, Satker.pp_id == request.user)
    )
    found = (await db_session.execute(statement)).first()
    if found is None:
        raise NotFoundException
    satker, attempt, access = found
    return MappingOut(
        satker_id=satker.id,
        status="mapped" if access else "unmapped",
        company=CompanyOut(attempt.company_id, attempt.company_name) if access else None,
        via=access and access.via,
        mapped_at=access and access.granted_at,
    )


url = f"postgresql+asyncpg://postgres@/{os.environ['PGDATABASE']}?host={os.environ['PGHOST']}&port={os.environ['PGPORT']}"
database = SQLAlchemyAsyncConfig(
    connection_string=url,
    engine_config=EngineConfig(pool_size=32),
    session_config=AsyncSessionConfig(expire_on_commit=False),
)
auth = JWTAuth[str](
    retrieve_user_handler=caller,
    token_secret=os.environ["JWT_KEY"],
    algorithm="RS256",
    accepted_audiences=["satu-pp"],
    accepted_issuers=["bela"],
)
app = Litestar(
    [get_mapping],
    on_app_init=[auth.on_app_init],
    plugins=[SQLAlchemyPlugin(config=database)],
    logging_config=None,
)
