"""Log in and map, bare: a FastAPI route that asks mbizmarket the same with the same client, and commits one row."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.mbiz.client import Call, Mbizmarket
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import Column, MetaData, Table, Text, insert
from sqlalchemy.ext.asyncio import create_async_engine

mappings = Table("bare_mapping", MetaData(), Column("satker_id", Text), Column("company_id", Text))
engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=16)
mbiz = Mbizmarket(os.environ["MBIZ_URL"], "satu-pp", ["secret"])


class LogIn(BaseModel):
    email: str
    password: str


class Company(BaseModel):
    company_id: str
    name: str


class Mapping(BaseModel):
    satker_id: str
    status: str
    company: Company


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as tx:
        await tx.run_sync(mappings.metadata.create_all)
    yield
    await mbiz.aclose()
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/v1/satkers/{satker_id}/mapping/login", status_code=201)
async def log_in(satker_id: str, body: LogIn) -> Mapping:
    account = await mbiz.log_in(Call.within(10, "bench"), body.email, body.password)
    company = account.companies[0]
    async with engine.begin() as tx:
        await tx.execute(insert(mappings).values(satker_id=satker_id, company_id=company.company_id))
    return Mapping(
        satker_id=satker_id,
        status="mapped",
        company=Company(company_id=company.company_id, name=company.name),
    )


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}
