"""A runnable mbizmarket for trying things out and for tests: the whole partner API over one SQLite file.

`create_sandbox` makes the ASGI app; it needs no lifespan, so it runs under uvicorn and over
`httpx.ASGITransport` alike. What it has acknowledged is in its file and survives a `kill -9`; tokens, faults
and request counts live in memory. Every answer carries `X-Sandbox: mbizmarket-sandbox`.

Weather by e-mail
-----------------
Anyone who can reach the service can provoke mbizmarket's bad days: the part of the address before its first
`+` or the `@` decides, whatever the domain (`lost@satker.example`, `lost+2@satker.example`).

    before + or @   accounts/search, login                    registrations
    down            503, Retry-After 5; nothing is done       the same
    slow            waits `slow_seconds` (30), then answers   waits, then registers and answers
    lost            as usual                                  registers, then cuts the connection: no answer
    garbled         an HTML page with status 200              registers, then an HTML page with status 200

`lost` and `garbled` spoil the answer that made the account and no later one: the same reference again, and
the look-up by reference, answer as usual, so an unfinished registration can be finished. Accounts to log in
to stand ready for `slow`, `down` and `garbled` at mbiz.example; `SAMPLE_ACCOUNTS` lists them with all others.
Registering needs an address without an account: `slow+1@mbiz.example`.

Other refusals to provoke: a postal code that starts with 999 is `not_served`, a password under 8 characters
`too_weak`, ten failed log-ins in a row lock the e-mail (423), one of `SAMPLE_ACCOUNTS` is `email_taken`.

Control
-------
`/sandbox/…`, without authentication, for clients on the loopback alone (404 to others):

    POST   /sandbox/faults {call, fault, times=1, seconds?}      queue a scripted fault; see `faults`
    DELETE /sandbox/faults                                       forget them all
    GET    /sandbox/truth                  {accounts, registrations, requests, faults_waiting}, no passwords
    POST   /sandbox/accounts {email, password, name, email_verified?, companies?: [{name, city, status?}]}
    POST   /sandbox/accounts/{id} {email?, name?, email_verified?}
    PUT    /sandbox/accounts/{id}/companies/{company_id}         the account joins a company that exists
    DELETE /sandbox/accounts/{id}/companies/{company_id}         the account leaves the company
    POST   /sandbox/companies/{id} {status?, name?}              close, reopen or rename
    DELETE /sandbox/companies/{id}                               gone, for good
    POST   /sandbox/tokens/expire                                every access token is invalid at once
"""

from app.mbiz.sandbox.application import SANDBOX_WARNING, Sandbox, create_sandbox
from app.mbiz.sandbox.samples import SAMPLE_ACCOUNTS, SampleAccount
from app.mbiz.sandbox.wire import ConnectionCut, ConnectionRefused

__all__ = [
    "SAMPLE_ACCOUNTS",
    "SANDBOX_WARNING",
    "ConnectionCut",
    "ConnectionRefused",
    "SampleAccount",
    "Sandbox",
    "create_sandbox",
]
