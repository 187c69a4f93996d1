# The server with its dashboard: one process, one volume, without root.
#
#   docker build -t airgap-tracker .
#   docker run -d --init --name tracker --hostname tracker -p 8080:8080 -v tracker-data:/data airgap-tracker
#   docker logs tracker        # at the first start: a one-time sign-in link and an API key of the user admin
#
# Build arguments name mirrors, and a file ca.crt next to this file holds certificate authorities:
# docs/airgap-install.md. Settings of the base image win. This file contains no settings of a machine.

ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG npm_config_registry
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The requirements of the project, in layers that change only with pyproject.toml and the constraints.
COPY pyproject.toml constraints-dev.txt ca.cr[t] ./
RUN if [ -f ca.crt ]; then \
        pip config --global set global.cert /src/ca.crt && echo cafile=/src/ca.crt >>/root/.npmrc; \
    fi
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb')); \
        write = lambda name, lines: open(name, 'w').write('\n'.join(lines) + '\n'); \
        write('/tmp/build.txt', p['build-system']['requires']); \
        write('/tmp/run.txt', p['project']['dependencies'] + p['project']['optional-dependencies']['server'])" \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install -c constraints-dev.txt -r /tmp/build.txt \
    && python -m venv --without-pip /opt/tracker \
    && /opt/build/bin/pip --python /opt/tracker/bin/python install -c constraints-dev.txt -r /tmp/run.txt

# The dashboard. The build hook of the wheel makes it, with the Node from the build requirements.
COPY hatch_build.py ./
COPY server/web server/web
RUN /opt/build/bin/python -c "from pathlib import Path; import hatch_build; \
        hatch_build.build(Path('server/web'), Path('server/static'), print)"

# The wheel. Its build hook finds that the dashboard is up to date.
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheels . \
    && wheel=$(ls /tmp/wheels/*.whl) \
    && /opt/build/bin/pip --python /opt/tracker/bin/python install -c constraints-dev.txt "${wheel}[server,sso]"

# What the server never loads: tests of packages, headers, and pyarrow's library for Flight.
RUN cd /opt/tracker/lib/python3*/site-packages \
    && find . -type d -name tests -prune -exec rm -r {} + \
    && rm -r pyarrow/include pyarrow/*flight* \
    && /opt/tracker/bin/python -c "import pyarrow.compute, pyarrow.dataset, pyarrow.parquet"

# The licences of the Python packages, in one file; those of Debian's packages are in /usr/share/doc.
RUN /opt/tracker/bin/python -c "import re; from importlib.metadata import distributions; \
        write = open('/opt/tracker/THIRD-PARTY-LICENSES.txt', 'w').write; \
        own = lambda d: [f for f in d.files or () if '.dist-info' in str(f) and re.match('licen|copying|notice', f.name, re.I)]; \
        [write('## %s %s\n\n%s\n' % (d.name, d.version, '\n'.join(f.read_text() for f in own(d)) or d.metadata.get('License', ''))) \
         for d in sorted(distributions(), key=lambda d: d.name.lower())]"


FROM ${BASE}
RUN groupadd --gid 10001 tracker \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin tracker \
    && install -d -o tracker -g tracker -m 0700 /data
COPY --from=build /opt/tracker /opt/tracker
ENV PATH=/opt/tracker/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/data
USER 10001:10001
VOLUME /data
WORKDIR /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/api/v1/health', timeout=4)"]
CMD ["tracker", "server", "--host", "0.0.0.0", "--port", "8080", "--store", "/data"]
