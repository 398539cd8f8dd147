# The image for `resnet-lab sweep --launcher k8s`: docker build -t resnet-lab:1.0.0 .
# PyTorch's default build on Linux includes CUDA. For a smaller image that only uses the CPU, add
# --build-arg PIP_EXTRA_INDEX_URL=URL with the URL of the CPU builds on PyTorch's installation page.
FROM python:3.12-slim

ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1

RUN useradd --create-home --uid 1000 lab && install --directory --owner lab --group lab /lab

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY resnet_lab resnet_lab
RUN python -m pip install .

USER 1000
WORKDIR /lab
# In this form the program is process 1 itself, so that it receives the signals that stop the container.
ENTRYPOINT ["python", "-m", "resnet_lab"]
CMD ["--help"]
