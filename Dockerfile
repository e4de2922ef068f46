# The proxy as an image: docker build -t cab-proxy .
#
#   docker run -d --name cab-proxy -p 127.0.0.1:31415:31415 -v cab-ledger:/ledger \
#       -e CAB_KEY -e CAB_SIGNING_KEY cab-proxy --upstream https://your-endpoint/v1
#
# Keys come from the environment at run time; the image contains none. compose.yaml shows it beside an agent.
ARG PYTHON=3.12
# Any image with that Python and the module venv.
ARG BASE=python:${PYTHON}-slim

FROM ${BASE} AS build
COPY . /src
RUN python -m venv /opt/cab && /opt/cab/bin/pip install --no-cache-dir "/src[seals]"

FROM ${BASE}
COPY --from=build /opt/cab /opt/cab
LABEL org.opencontainers.image.title="cab-proxy" \
    org.opencontainers.image.description="Meters the model calls of coding agents" \
    org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/cab/bin:$PATH \
    PYTHONUNBUFFERED=1
# A new volume gets its owner from the folder on which it is mounted.
RUN groupadd --gid 10001 cab \
    && useradd --uid 10001 --gid cab --no-create-home --shell /usr/sbin/nologin cab \
    && install --directory --owner=cab --group=cab --mode=0750 /ledger
USER 10001:10001
WORKDIR /ledger
VOLUME ["/ledger"]
EXPOSE 31415
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, ssl; from urllib.request import urlopen; tls = 's' if os.environ.get('CAB_TLS_CERT_FILE') else ''; urlopen(f'http{tls}://127.0.0.1:31415/cab/health', timeout=4, context=ssl._create_unverified_context())"]
STOPSIGNAL SIGTERM
# Other containers can reach it, so calls need a cell key. The volume keeps the state folder too: a new ledger is
# another folder in it (--ledger /ledger/july), not another volume.
ENTRYPOINT ["cab-proxy", "--host", "0.0.0.0", "--port", "31415", "--auth", "keys", "--ledger", "/ledger", "--state", "/ledger/state", "--log-format", "json"]
