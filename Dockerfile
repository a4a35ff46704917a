# Serves exports over HTTP, without PyTorch and not as root:
#
#     docker build -t mobilenets .
#     docker run --read-only -p 127.0.0.1:8000:8000 -v "$PWD/exports:/models:ro" mobilenets
#
# docs/page.md describes the interface; flags follow the image's name.
FROM python:3.12-slim AS build
WORKDIR /checkout
COPY LICENSE README.md pyproject.toml setup.py ./
COPY backbone backbone
COPY configs configs
COPY datasets datasets
COPY mobilenet_suite mobilenet_suite
COPY tasks tasks
COPY tools tools
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# What exports and the service need, and nothing of what training needs.
COPY --from=build /wheels /wheels
RUN pip install --only-binary :all: "$(echo /wheels/*.whl)[runtime,serve]" \
    && useradd --system --no-create-home --uid 10001 served

USER 10001
EXPOSE 8000
VOLUME /models
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# Within the container every address is listened on; which of them others reach is told by -p.
ENTRYPOINT ["mobilenets", "serve", "/models", "--host", "0.0.0.0", "--port", "8000"]
