"""An mbizmarket of a few lines, so that what it costs is nearly nothing: every e-mail logs in, to a company of its own.

    python -m bench.market PORT SECONDS

It answers after SECONDS, and those whose e-mail begins with `hang` never.
"""

import asyncio
import json
import re
import sys

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
TOKEN = json.dumps({"access_token": "t", "token_type": "Bearer", "expires_in": 3600}).encode()
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
EMAIL = re.compile(rb'"email": *"([^"]+)"')


def account(email: str) -> bytes:
    address = {"street": "Jalan Merdeka 1", "city": "Bandung", "postal_code": "40111"}
    company = {"company_id": f"C-{email}", "name": f"PT {email}", "status": "active", "address": address}
    found = {"account_id": f"A-{email}", "email": email, "name": "Budi", "companies": [company]}
    return json.dumps({"account": found}).encode()


class Market(asyncio.Protocol):
    """Takes each request for one of its own: all callers here wait for an answer before they ask again."""

    seconds = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.heard = transport, b""

    def data_received(self, data: bytes) -> None:
        self.heard += data
        head, end, body = self.heard.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or len(body) < int(length[1] if length else 0):
            return
        self.heard = b""
        email = EMAIL.search(body)
        if email and email[1].startswith(b"hang"):
            return
        answer = account(email[1].decode()) if email else TOKEN
        asyncio.get_running_loop().call_later(self.seconds, self.transport.write, HEAD % len(answer) + answer)


async def serve(port: int, seconds: float) -> None:
    Market.seconds = seconds
    server = await asyncio.get_running_loop().create_server(Market, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
