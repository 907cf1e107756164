# Container image of facebank.
#
#   docker build -t facebank .                                       for a CPU
#   docker build -t facebank:gpu --build-arg RUNTIME=gpu .           for an NVIDIA GPU (CUDA 12); run with --gpus all
#   docker run --rm -v facebank:/data -v ~/Pictures:/photos:ro facebank scan /photos
#   docker run -p 8470:8470 -v facebank:/data facebank serve --host 0.0.0.0 --token-file /data/token.txt
#
# People, scans, packs and caches are in /data. To run as another user, make that user the owner of the volume.

ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG RUNTIME=cpu
ARG EXTRAS=heif,serve,xmp
WORKDIR /source
COPY . .
RUN python -m venv /opt/facebank \
    && /opt/facebank/bin/python -m pip install --no-cache-dir --no-compile ".[${RUNTIME},${EXTRAS}]" \
    && /opt/facebank/bin/python -m pip uninstall --yes pip

FROM python:${PYTHON}-slim
RUN useradd --create-home --uid 1000 facebank \
    && install -d -o facebank -g facebank -m 700 /data
COPY --from=build /opt/facebank /opt/facebank
ENV PATH=/opt/facebank/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FACEBANK_GALLERY=/data/gallery.facebank \
    FACEBANK_PACKS=/data/packs \
    FACEBANK_CACHE=/data/cache \
    FACEBANK_CALIBRATIONS=/data/calibrations
USER facebank
WORKDIR /data
VOLUME /data
EXPOSE 8470
# Only for serve; other commands end before the first check. The health route needs no key.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8470/api/v1/health', timeout=4)"]
ENTRYPOINT ["facebank"]
CMD ["serve", "--host", "0.0.0.0", "--token-file", "/data/token.txt"]
