# docker build --build-arg CEPH_RELEASE=reef --tag ceph-provisioner:reef .
#
# The Ceph libraries that the binary is built against are the ones that it runs
# with: both come from the archive of one distribution image, without any other
# repository. Choose the release of your cluster. Needs BuildKit.
ARG CEPH_RELEASE=pacific
ARG GO_VERSION=1.24

# One stage for each release that go-ceph v0.34.0 knows; any other name fails
# at once, because there is no stage or image release-<name>. Nautilus (Debian
# 11) is missing since go-ceph dropped it in v0.29.
FROM ubuntu:20.04 AS release-octopus
FROM debian:bookworm-slim AS release-pacific
FROM ubuntu:22.04 AS release-quincy
FROM debian:trixie-slim AS release-reef
FROM ubuntu:24.04 AS release-squid
FROM ubuntu:26.04 AS release-tentacle

FROM golang:${GO_VERSION} AS go

FROM release-${CEPH_RELEASE} AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates gcc libc6-dev libcephfs-dev librados-dev librbd-dev \
    && rm -rf /var/lib/apt/lists/*
# The Go toolchain is linked statically: it runs on any of the releases' libc.
COPY --from=go /usr/local/go /usr/local/go
ENV PATH=/usr/local/go/bin:$PATH GOTOOLCHAIN=local CGO_ENABLED=1
WORKDIR /src
COPY hack/ceph-release hack/ceph-release
ARG CEPH_RELEASE
RUN installed=$(hack/ceph-release) \
    && if [ "$installed" != "$CEPH_RELEASE" ]; then \
        echo "This image's archive has Ceph $installed, not $CEPH_RELEASE." >&2; exit 1; \
    fi
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/root/go/pkg/mod \
    go mod download
COPY . .
ARG VERSION=development
# Go's build cache does not see which C headers an object was compiled with:
# each release has its own.
RUN --mount=type=cache,target=/root/go/pkg/mod \
    --mount=type=cache,target=/root/.cache \
    GOCACHE=/root/.cache/go-build-$CEPH_RELEASE \
    go build -tags "$CEPH_RELEASE" -trimpath -buildvcs=false \
        -ldflags "-s -w -X main.version=$VERSION" \
        -o /ceph-provisioner ./cmd/ceph-provisioner

FROM release-${CEPH_RELEASE}
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates libcephfs2 librados2 librbd1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log
COPY --from=build /ceph-provisioner /usr/local/bin/ceph-provisioner
USER 65532:65532
# A missing library is found here, not by a crashing pod.
RUN ["/usr/local/bin/ceph-provisioner", "--version"]
ENTRYPOINT ["/usr/local/bin/ceph-provisioner"]
ARG CEPH_RELEASE
ARG VERSION=development
LABEL org.opencontainers.image.title="ceph-provisioner" \
      org.opencontainers.image.description="Provisions, grows and deletes in-tree RBD and CephFS volumes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      example.ceph.release="${CEPH_RELEASE}"
