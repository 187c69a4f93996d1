#!/bin/sh
# Installs tracker from the files next to this script. Needs no network. README.txt describes the options.
set -eu
export LC_ALL=C

VERSION=@VERSION@
PYTHONS="@PYTHONS@"
EXTRAS="@EXTRAS@"
MACHINE=@MACHINE@

say() { printf 'install.sh: %s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit "${code:-1}"; }
misused() { code=2; fail "$* README.txt describes the options."; }
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac; }

venv='' python='' image='' only_check=''
while [ $# -gt 0 ]; do
    case $1 in
        --venv | --python | --extras) [ $# -ge 2 ] || misused "Option $1 needs a value." ;;
    esac
    case $1 in
        --venv) venv=$(absolute "$2"); shift ;;
        --python) python=$2; shift ;;
        --extras) EXTRAS=$2; shift ;;
        --image) image=yes ;;
        --check) only_check=yes ;;
        *) misused "Unknown option '$1'." ;;
    esac
    shift
done
[ -n "$venv$python$image$only_check" ] ||
    misused "Choose where to install: --venv DIR, --python PYTHON, or --image for the container image."

# A relative path of a program belongs to the folder of the caller.
case $python in */*) python=$(absolute "$python") ;; esac
cd "$(dirname "$0")"

# Compare every file with MANIFEST before anything is installed. The last line is the checksum of the others.
again="Copy the archive again."
[ -f MANIFEST ] || fail "MANIFEST is missing. $again"
[ "$(tail -n 1 MANIFEST)" = "$(sed '$d' MANIFEST | sha256sum | cut -d ' ' -f 1)" ] || fail "MANIFEST is damaged. $again"
damaged=$(sed -e '$d' -e 's/^\([0-9a-f]*\) [0-9]* /\1  /' MANIFEST | sha256sum -c - 2>/dev/null | grep -v ': OK$' || true)
[ -z "$damaged" ] || fail "These files are damaged or missing. $again
$damaged"
say "The files are complete."
[ -z "$only_check" ] || exit 0

if [ -n "$image" ]; then
    [ -f image.tar.gz ] || fail "This archive contains no container image."
    engine=$(command -v docker || command -v podman) || fail "No container engine: docker and podman are missing. Leave out --image."
fi

if [ -n "$venv$python" ]; then
    [ "$(uname -m)" = "$MACHINE" ] || fail "The wheels are for $MACHINE, but this machine is $(uname -m)."
    if [ -z "$venv" ]; then
        target=$python
    elif [ -x "$venv/bin/python" ]; then
        [ -z "$python" ] || fail "$venv exists and has its own Python. Leave out --python."
        target=$venv/bin/python
    elif [ -e "$venv" ]; then
        fail "$venv exists and is not an environment. Choose another folder."
    else
        target=${python:-python3}
    fi
    found=$("$target" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "$target cannot be started."
    case " $PYTHONS " in
        *" $found "*) ;;
        *) fail "$target is Python $found, but the archive has wheels for Python $PYTHONS. Choose another with --python." ;;
    esac
    if [ -n "$venv" ] && [ ! -e "$venv" ]; then
        "$target" -m venv --without-pip "$venv" || fail "$target cannot create the environment $venv."
        target=$venv/bin/python
    fi
    # pip runs from its wheel, because the environment may have none. It must not use settings of this machine.
    set -- wheels/pip-*.whl
    pip() { PIP_CONFIG_FILE=/dev/null "$target" "$pip_wheel/pip" --isolated --disable-pip-version-check install --quiet --no-index "$@"; }
    pip_wheel=$1
    set -- wheels/airgap_tracker-*.whl
    pip --find-links wheels "$1${EXTRAS:+[$EXTRAS]}" || fail "pip could not install the wheels."
    # pip leaves an installed tracker of the same version in place, which may be another build.
    pip --no-deps --force-reinstall "$1" || fail "pip could not install the wheels."
    "$target" -c 'import tracker' || fail "tracker was installed, but it cannot be imported."
    command=$("$target" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')/tracker
    say "tracker $VERSION is installed for $target."
fi
[ -z "$image" ] || "$engine" load --input image.tar.gz || fail "The container image could not be loaded."

say "Next steps:"
if [ -n "$venv$python" ]; then
    say "  $command --version"
    say "  $command server                  # the dashboard, on http://127.0.0.1:8080"
fi
[ -z "$image" ] || say "  ${engine##*/} run -d --init --hostname tracker -p 8080:8080 -v tracker-data:/data @IMAGE@"
[ ! -d docs ] || say "  read $PWD/docs/index.@DOCS@"
