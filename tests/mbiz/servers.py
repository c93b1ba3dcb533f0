"""mbizmarket on a real socket, behaving badly in ways that only a socket can."""

import asyncio
import datetime
import ipaddress
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answers(body: object, status: int = 200) -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(len(json.dumps(body)), status) + json.dumps(body).encode())

    return reply


async def hangs(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def drips(writer: asyncio.StreamWriter) -> None:
    writer.write(_head(10_000))
    for _ in range(1000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def is_cut(writer: asyncio.StreamWriter) -> None:
    writer.write(_head(100) + b'{"accoun')
    await hangs_up(writer)


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def speaks_no_http(writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n\r\n")


async def floods(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\r\n[")
    while True:
        writer.write(b"1," * 32_000)
        await writer.drain()


def after(seconds: float, reply: Reply) -> Reply:
    async def later(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await reply(writer)

    return later


def in_turn(*replies: Reply) -> Reply:
    turns = iter(replies)

    async def next_one(writer: asyncio.StreamWriter) -> None:
        await next(turns)(writer)

    return next_one


grants = answers({"access_token": "t", "token_type": "Bearer", "expires_in": 3600})


class Server:
    """`paths` lists what was asked, in order; `connections` counts what was accepted."""

    def __init__(self, reply: Reply, token: Reply) -> None:
        self.paths: list[str] = []
        self.base_url = ""
        self.connections: list[asyncio.Task[None]] = []
        self._reply = reply
        self._token = token

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                self.paths.append(await _path_of_request(reader))
                await (self._token if self.paths[-1] == "/oauth/token" else self._reply)(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the adapter left
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    reply: Reply, token: Reply = grants, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """A server of the loopback; https when there is a context."""
    server = Server(reply, token)
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    server.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listening.close()
        for connection in server.connections:
            connection.cancel()
        await asyncio.gather(*server.connections, return_exceptions=True)


async def until(true: Callable[[], object], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.005)


async def _path_of_request(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    sizes = [int(line.split(":")[1]) for line in head if line.lower().startswith("content-length:")]
    await reader.readexactly(sum(sizes))
    return head[0].split()[1]


def _head(size: int, status: int = 200) -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode()


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's TLS for 127.0.0.1, with a certificate that it signed itself: `server.pem` in the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "server.pem"
    file.write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
