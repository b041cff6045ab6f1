FROM python:3.12-slim

RUN useradd --create-home genstore && mkdir /data && chown genstore /data
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY genstore genstore
COPY migrations migrations
# Build with --build-arg PIP_EXTRA_INDEX_URL=<PyTorch's CPU index>, or the default torch brings gigabytes of CUDA.
ARG PIP_EXTRA_INDEX_URL
RUN pip install --no-cache-dir -c constraints.txt ".[local,parquet,postgres,s3]"

USER genstore
VOLUME /data
ENTRYPOINT ["genstore"]
CMD ["--help"]
