# gantrain on any machine with Docker. CPU by default; for NVIDIA cards, the index of torch's CUDA wheels:
#   docker build --tag gantrain --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
# Data and runs are folders of the host:
#   docker run --rm --gpus all --shm-size=2g --user "$(id -u):$(id -g)" \
#     -v "$PWD/data:/data" -v "$PWD/runs:/work/runs" gantrain data=folder data.root=/data/photos
ARG PYTHON=3.12
FROM python:${PYTHON}-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Further extras of pyproject.toml, separated by commas, such as deep,medical,video
ARG EXTRAS=safetensors,onnx

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/work \
    GANTRAIN_CACHE=/work/cache

COPY pyproject.toml README.md LICENSE /source/
# What torch needs comes from PyPI; torch itself from its own index.
RUN python -c "import tomllib; print([d for d in tomllib.load(open('/source/pyproject.toml', 'rb'))['project']['dependencies'] if d.startswith('torch')][0])" > /tmp/torch.txt \
    && pip install --extra-index-url "${TORCH_INDEX}" --requirement /tmp/torch.txt \
    && rm /tmp/torch.txt
COPY gantrain /source/gantrain
COPY configs /source/configs
RUN pip install "/source[${EXTRAS}]" && rm -rf /source

# Any user may be chosen with --user: the folder belongs to all.
RUN useradd --uid 1000 --no-create-home --home-dir /work gantrain \
    && mkdir -p /work/runs /work/cache /data \
    && chown -R gantrain:gantrain /work /data \
    && chmod -R a+rwX /work
USER gantrain
WORKDIR /work
VOLUME ["/data", "/work/runs", "/work/cache"]
ENTRYPOINT ["gantrain"]
