# Any image with Python 3.11 or newer as `python`, with venv, will do; deploy/build-image takes another one.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /srv
RUN python -m venv /srv/venv
COPY requirements/run.txt requirements/run.txt
RUN /srv/venv/bin/pip install --no-cache-dir --no-compile --require-hashes --requirement requirements/run.txt \
    && /srv/venv/bin/pip uninstall --yes pip
COPY app app
COPY migrations migrations
# Unchecked, for the files never change and their user may not write: no start has to look at their times.
RUN python -m compileall -q --invalidation-mode unchecked-hash venv/lib app migrations


FROM ${BASE}
LABEL org.opencontainers.image.title="Satu PP Multi Satker" \
      org.opencontainers.image.description="Ties each satker of a PP of Bela Pengadaan to one mbizmarket company"
WORKDIR /srv
COPY --from=build /srv /srv
ENV PATH=/srv/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes' runAsNonRoot can tell that it is not root.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["python", "-m", "app", "serve", "--host", "0.0.0.0", "--port", "8000"]
