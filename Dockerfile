# Targets: edge, simulator, agent, edge-test, training.  docker build --target edge --tag motortwin/edge .
#
# No "# syntax=" line: it would fetch a frontend from a registry. BuildKit and the classic builder both build this file;
# the classic one builds every stage above its target, so the heavy ones stand last.
# BASE runs the program; BUILD_BASE also has pip and venv, and its Python must be the same one at the same path.
# Without internet: deploy/airgap/base makes both, deploy/airgap/wheels fills build/wheelhouse, and no step needs a network.
ARG BASE=python:3.11.14-slim-bookworm
ARG BUILD_BASE=${BASE}

FROM ${BUILD_BASE} AS environment
# pip reads both by itself; they stay in this stage's history and never reach an image that is shipped
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1
RUN python3 -m venv --without-pip /venv
COPY deploy/locked /usr/local/bin/

FROM ${BASE} AS runtime
# a user without a shell, no pip; a named volume on /data takes its owner from here
RUN echo 'motortwin:x:10001:10001:motortwin:/data:/usr/sbin/nologin' >>/etc/passwd \
 && echo 'motortwin:x:10001:' >>/etc/group \
 && install -d -o 10001 -g 10001 -m 0750 /data \
 && rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/ensurepip /usr/local/lib/python3.*/site-packages/*
# ONNX Runtime's official wheels report to their maker unless told not to
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1
WORKDIR /app

FROM environment AS edge-environment
# the brackets let the wheels be absent: a pattern may match nothing
COPY service/requirements.lock build/wheelhous[e]/edge/*.whl /wheels/
WORKDIR /venv/lib/python3.11/site-packages
# libonnxruntime.so serves C programs; the Python module has its own copy of the runtime inside
RUN locked /wheels \
 && rm -rf onnxruntime/tools onnxruntime/transformers onnxruntime/quantization onnxruntime/datasets \
      onnxruntime/capi/libonnxruntime.so* \
 && find numpy -type d -name tests -prune -exec rm -rf {} + \
 && find . -name '*.pyi' -delete \
 && python3 -m compileall -q --invalidation-mode unchecked-hash .

FROM runtime AS edge
COPY --from=edge-environment /venv /venv
COPY LICENSE /app/
COPY deploy/motor /usr/local/bin/
COPY service /app/service
# the image exists only if its models answer as they should, with this interpreter and these libraries
RUN python -m compileall -q --invalidation-mode unchecked-hash /app/service \
 && MQTT_URL=mqtt://localhost MOTORTWIN_DATA_DIR=/tmp python -m service --self-test
ENV MOTORTWIN_DATA_DIR=/data MOTORTWIN_HTTP_HOST=0.0.0.0 MOTORTWIN_HTTP_PORT=8080
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "service", "--healthcheck"]
ENTRYPOINT ["python", "-m", "service"]
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="motortwin edge" \
      org.opencontainers.image.description="Anomaly, fault, health and remaining useful life of motors, over MQTT" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM environment AS simulator-environment
COPY simulator/requirements.lock build/wheelhous[e]/simulator/*.whl /wheels/
WORKDIR /venv/lib/python3.11/site-packages
RUN locked /wheels \
 && find numpy -type d -name tests -prune -exec rm -rf {} + \
 && python3 -m compileall -q --invalidation-mode unchecked-hash .

FROM runtime AS simulator
COPY --from=simulator-environment /venv /venv
COPY LICENSE /app/
COPY service/__init__.py /app/service/
COPY service/contract /app/service/contract
COPY simulator /app/simulator
RUN python -m compileall -q --invalidation-mode unchecked-hash /app
USER 10001:10001
ENTRYPOINT ["python", "-m", "simulator"]
CMD ["--help"]
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="motortwin simulator" \
      org.opencontainers.image.description="Motors that fail in a known way, published over MQTT" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# The device's half of a release: nothing of the edge is in it, they meet over HTTP and in the edge's volume.
FROM environment AS agent-environment
COPY service/requirements.lock /locks/edge
COPY deploy/agent-lock build/wheelhous[e]/edge/*.whl /wheels/
WORKDIR /venv/lib/python3.11/site-packages
RUN /wheels/agent-lock /locks/edge >/wheels/requirements.lock \
 && locked /wheels \
 && python3 -m compileall -q --invalidation-mode unchecked-hash .

FROM runtime AS agent
COPY --from=agent-environment /venv /venv
COPY LICENSE /app/
COPY deploy/agent /app/deploy/agent
# an empty volume on /agent takes its owner from here
RUN install -d -o 10001 -g 10001 -m 0750 /agent \
 && python -m compileall -q --invalidation-mode unchecked-hash /app \
 && python -c 'import deploy.agent.__main__'
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=8s --start-period=30s --retries=3 CMD ["python", "-m", "deploy.agent", "--healthcheck"]
ENTRYPOINT ["python", "-m", "deploy.agent"]
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="motortwin agent" \
      org.opencontainers.image.description="Brings signed releases to the edge beside it" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# The service's own tests with the very interpreter and libraries that ship.
FROM edge-environment AS edge-test-environment
COPY tests/requirements.lock /locks/tests
COPY training/requirements.lock /locks/training
COPY deploy/test-lock build/wheelhous[e]/edge-test/*.whl /test-wheels/
RUN /test-wheels/test-lock /locks/tests /locks/training >/test-wheels/requirements.lock && locked /test-wheels

FROM edge AS edge-test
COPY --from=edge-test-environment /venv /venv
COPY pyproject.toml /app/
COPY tests /app/tests
ENV HOME=/tmp HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis
ENTRYPOINT ["python", "-m", "pytest", "-p", "no:cacheprovider"]
CMD ["-q", "tests/contract", "tests/service"]

FROM environment AS training-environment
# PyPI's torch brings gigabytes of CUDA, so the CPU build comes from the wheelhouse or from an index that is named
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX
COPY training/requirements.lock build/wheelhous[e]/training/*.whl /wheels/
RUN locked /wheels "${TORCH}" "${TORCH_INDEX:-}" \
 && python3 -m compileall -q -j 0 -x '/torch/testing/_internal/' --invalidation-mode unchecked-hash /venv/lib

FROM runtime AS training
COPY --from=training-environment /venv /venv
COPY LICENSE /app/
COPY service /app/service
COPY simulator /app/simulator
COPY training /app/training
# matplotlib and torch want a place for their caches; the root may be read-only
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
ENTRYPOINT ["python", "-m", "training"]
CMD ["train"]
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="motortwin training" \
      org.opencontainers.image.description="Makes the models that the edge runs, from the twin" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
