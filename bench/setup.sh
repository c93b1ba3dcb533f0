#!/bin/sh
# Sets up what the bench compares with, all of it under build/bench: a Python environment of its own with the other
# frameworks, pinned by hash, and, where there is Node, Fastify and pg from npm. The load comes from wrk, which Debian
# has; where this may not install it, a loader of the bench's own takes its place, which needs more of its core.
# usage: bench/setup.sh PYTHON
set -eu
cd "$(dirname "$0")/.."
to=build/bench

echo "Setting up $to, once"
"$1" -m venv --clear "$to"
"$to/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement bench/requirements.txt

if command -v node >/dev/null && command -v npm >/dev/null; then
    mkdir -p "$to/fastify"
    cp bench/contenders/fastify_pg.js bench/contenders/package.json bench/contenders/package-lock.json "$to/fastify"
    npm ci --prefix "$to/fastify" --silent --no-audit --no-fund
else
    echo 'No Node here: the bench goes without Fastify'
fi

if ! command -v wrk >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get install --yes --quiet=2 wrk >/dev/null || true
fi
command -v wrk >/dev/null || echo 'No wrk here (Debian: apt-get install wrk): the bench loads by its own loader'
