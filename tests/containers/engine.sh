#!/usr/bin/env bash
# Provides a container engine where none runs (CI, a bare virtual machine), and removes it again.
#
#   engine.sh start DIR    install missing packages, start dockerd with all its files below DIR, provide the
#                          base image; prints only the DOCKER_HOST to use
#   engine.sh stop DIR     stop that dockerd (and no other) and remove DIR
#
# Needs root, Debian's apt-get, and a kernel with overlayfs and iptables. If an engine already answers, it is
# used unchanged: `start` prints its DOCKER_HOST (an empty line for the default), and `stop` does not end it.
#
# The base image is pulled. If no image registry can be reached, an image of the same name is built from
# Debian packages: the same release and Python, python and pip in /usr/local/bin, and this machine's
# certificate bundle and pip and npm settings, so that a build inside it reaches the same package registries.
set -euo pipefail

readonly BASE_IMAGE=python:3.11-slim-bookworm
readonly SUITE=bookworm
readonly BUNDLE=/etc/ssl/certs/ca-certificates.crt

say() { printf 'engine: %s\n' "$*" >&2; }
die() { printf 'engine: ERROR: %s\n' "$*" >&2; exit 1; }

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }

# Install a Debian package, unless its command already exists.
updated=
need() {
    local command=$1 package=$2
    ! command -v "$command" >/dev/null || return 0
    [[ $(id -u) == 0 ]] || die "$package is missing. Run this script as root to install it."
    command -v apt-get >/dev/null || die "$package is missing, and apt-get is not available to install it."
    say "installing $package"
    [[ -n $updated ]] || apt-get -o DPkg::Lock::Timeout=300 update -qq >&2
    updated=yes
    # RUNLEVEL prevents the package from starting its service: this script starts the daemon itself.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$package" >&2
}

# Show the end of the daemon's log, which contains the reason of the failure.
daemon_failed() {
    say "---- end of dockerd's log:"
    tail -n 40 "$1/dockerd.log" >&2 || true
    say "----"
    stop_daemon "$1"
    die "$2"
}

start_daemon() {
    local dir=$1 pid
    [[ $(id -u) == 0 ]] || die "Starting a container engine needs root."
    setsid dockerd --host "unix://$dir/docker.sock" --data-root "$dir/data" --exec-root "$dir/exec" \
        --pidfile "$dir/dockerd.pid" </dev/null >"$dir/dockerd.log" 2>&1 &
    pid=$!
    for ((tick = 0; tick < 600; tick++)); do
        if docker --host "unix://$dir/docker.sock" info >/dev/null 2>&1; then
            say "dockerd is running ($(docker --host "unix://$dir/docker.sock" info --format \
                '{{.ServerVersion}}, {{.Driver}}, kernel {{.KernelVersion}}'))"
            return
        fi
        kill -0 "$pid" 2>/dev/null || daemon_failed "$dir" "dockerd ended during its start."
        sleep 0.1
    done
    daemon_failed "$dir" "dockerd did not answer within 60 s."
}

stop_daemon() {
    local dir=$1 pid
    [[ -s $dir/dockerd.pid ]] || return 0
    pid=$(<"$dir/dockerd.pid")
    kill "$pid" 2>/dev/null || return 0
    for ((tick = 0; tick < 300; tick++)); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    say "dockerd ($pid) did not end within 30 s. Killing it."
    kill -9 "$pid" 2>/dev/null || true
}

# Build the base image from Debian packages, with the settings that a build needs to reach the registries.
make_base_image() {
    local dir=$1 rootfs=$1/rootfs value name
    local changes=(
        -c "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        -c "ENV LANG=C.UTF-8"
        -c 'CMD ["python3"]'
    )
    need debootstrap debootstrap
    say "building a substitute for $BASE_IMAGE (about a minute)"
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates "$SUITE" "$rootfs" \
        >"$dir/debootstrap.log" 2>&1 || { tail -n 20 "$dir/debootstrap.log" >&2; die "debootstrap failed."; }
    ln -s /usr/bin/python3 "$rootfs/usr/local/bin/python"
    ln -s /usr/bin/pip3 "$rootfs/usr/local/bin/pip"
    rm -f "$rootfs"/usr/lib/python3.*/EXTERNALLY-MANAGED
    rm -rf "$rootfs"/var/cache/apt/archives/*.deb "$rootfs"/var/lib/apt/lists/*
    if [[ -r $BUNDLE ]]; then
        cp -L "$BUNDLE" "$rootfs$BUNDLE"
        for name in PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS npm_config_cafile; do
            changes+=(-c "ENV $name=$BUNDLE")
        done
    fi
    value=${PIP_INDEX_URL:-$(python3 -m pip config get global.index-url 2>/dev/null || true)}
    [[ $value != http*://* ]] || changes+=(-c "ENV PIP_INDEX_URL=$value")
    value=$(npm config get registry 2>/dev/null || true)
    [[ $value != http*://* ]] || changes+=(-c "ENV npm_config_registry=$value")
    for name in http_proxy https_proxy no_proxy PIP_DEFAULT_TIMEOUT; do
        [[ -z ${!name:-} ]] || changes+=(-c "ENV $name=${!name}")
    done
    tar -C "$rootfs" -c . | docker import "${changes[@]}" - "$BASE_IMAGE" >/dev/null
    rm -rf "$rootfs"
}

provide_base_image() {
    if docker image inspect "$BASE_IMAGE" >/dev/null 2>&1; then
        return
    fi
    if timeout 120 docker pull -q "$BASE_IMAGE" >"$1/pull.log" 2>&1; then
        say "pulled $BASE_IMAGE"
        return
    fi
    say "Cannot pull $BASE_IMAGE."
    make_base_image "$1"
}

start() {
    local dir=$1
    mkdir -p "$dir"
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        say "using the running engine (DOCKER_HOST=${DOCKER_HOST:-default})"
    else
        need dockerd docker.io
        start_daemon "$dir"
        export DOCKER_HOST=unix://$dir/docker.sock
    fi
    docker compose version >/dev/null 2>&1 || need docker-compose docker-compose
    provide_base_image "$dir"
    printf '%s\n' "${DOCKER_HOST:-}"
}

stop() {
    local dir=$1
    stop_daemon "$dir"
    # dockerd leaves the namespace of the host mounted, if a container or a build has used its network.
    [[ ! -e $dir/exec/netns/default ]] || umount "$dir/exec/netns/default" 2>/dev/null || true
    # Nothing should be mounted below the directory now. If something is, report it and keep the directory.
    if grep -qs " $dir/" /proc/self/mounts; then
        die "Cannot remove $dir. Still mounted below it: $(grep " $dir/" /proc/self/mounts | cut -d' ' -f2 | tr '\n' ' ')"
    fi
    rm -rf "$dir"
}

[[ $# == 2 && $2 == /* ]] || usage
case $1 in
    start) start "$2" ;;
    stop) stop "$2" ;;
    *) usage ;;
esac
