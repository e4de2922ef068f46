#!/bin/sh
# The steps of the Containerfile beside this file. Each leaves the same bytes whenever it is run: no times, logs or caches.
#
#   steps.sh tools PACKAGE...       packages of the system, users, folders
#   steps.sh installers PACKAGE...  packages that only the installation of an agent needs
#   steps.sh cab                    cab in /opt/cab
#   steps.sh agent                  the agent of agent.json in /opt/agent
#   steps.sh finish PROGRAM         names on the PATH, and the list of all that is in the image
# shellcheck disable=SC2329 # the steps are called by name
set -eu
umask 022
here=/tmp/cab-build
secrets=/run/secrets
export DEBIAN_FRONTEND=noninteractive PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0

say() { echo "cab: $*" >&2; }
fail() { say "$*"; exit 1; }

# Settings of this machine's registries, where they were given.
registries() {
    if [ -s "$secrets/ca.crt" ]; then
        export SSL_CERT_FILE="$secrets/ca.crt" PIP_CERT="$secrets/ca.crt" REQUESTS_CA_BUNDLE="$secrets/ca.crt"
        export NODE_EXTRA_CA_CERTS="$secrets/ca.crt" npm_config_cafile="$secrets/ca.crt"
    fi
    if [ -s "$secrets/pip.conf" ]; then export PIP_CONFIG_FILE="$secrets/pip.conf"; fi
    if [ -s "$secrets/npmrc" ]; then export npm_config_userconfig="$secrets/npmrc"; fi
    export PIP_FIND_LINKS=/tmp/cab-wheels
    export PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
    # A lock file would name the registry.
    export npm_config_cache=/tmp/npm-cache npm_config_omit_lockfile_registry_resolved=true
}

apt() {
    set -- apt-get -qq -y -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root "$@"
    if [ -s "$secrets/ca.crt" ]; then set -- "$@" -o Acquire::https::CAInfo="$secrets/ca.crt"; fi
    if [ -s "$secrets/sources.list" ]; then
        set -- "$@" -o Dir::Etc::SourceList="$secrets/sources.list" -o Dir::Etc::SourceParts=-
    fi
    if [ -s "$secrets/apt.conf" ]; then set -- "$@" -c "$secrets/apt.conf"; fi
    "$@" >&2
}

install_packages() {
    [ $# -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "the base image has no apt-get; give a base of Debian or Ubuntu with --base"
    apt update || fail "apt-get update failed in the base image"
    apt install --no-install-recommends "$@" || fail "apt-get could not install: $*"
    rm -rf /var/lib/apt/lists/* /var/lib/dpkg/*-old
    find /var/cache /var/log -type f -delete
}

# Compiled files that state no time are valid whatever time a layer gives their sources. Without them an agent, which may
# write none, would compile itself at each start.
compile() {
    find "$@" -name __pycache__ -type d -prune -exec rm -rf {} +
    # A package may hold files for other versions of Python, which cannot be compiled.
    "$python" -I -B -m compileall -q -f --invalidation-mode unchecked-hash "$@" >/dev/null || true
}

add_user() {
    if [ "$(id -u "$1" 2>/dev/null)" = "$2" ]; then return 0; fi
    groupadd --gid "$2" "$1"
    useradd --uid "$2" --gid "$2" --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$1"
}

tools() {
    install_packages "$@"
    python=$(command -v python3) || fail "the image has no python3; add it with --packages"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        || fail "cab needs Python 3.11 or newer, and the image has $("$python" -V); give another base with --base"
    if [ -d /usr/lib/python3 ]; then python=/usr/bin/python3; compile /usr/lib/python3 /usr/lib/python3.*; fi
    add_user cab 901
    add_user agent 902
    add_user checks 903
    rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow-
    mkdir -p /runs /opt
}

cab() {
    registries
    python3 -m venv /tmp/pip || fail "python3 -m venv failed; the base image needs python3-venv"
    python3 -m venv --without-pip /opt/cab
    /tmp/pip/bin/pip --python /opt/cab/bin/python install --quiet --constraint "$here/versions.txt" "$here"/*.whl >&2 \
        || fail "pip could not install cab"
    python=/opt/cab/bin/python
    compile /opt/cab/lib
    rm -rf /tmp/pip
}

agent() {
    registries
    mkdir -p /opt/agent
    [ -s "$here/agent.json" ] || return 0
    /opt/cab/bin/python -P -m cab.adapters.install.images.inside_build "$here/agent.json" /opt/agent
    if [ -x /opt/agent/bin/python ]; then python=/opt/agent/bin/python; compile /opt/agent/lib; fi
    rm -rf /tmp/npm-cache /root/.npm /root/.cache
}

finish() {
    # Only these names: with the folders of the programs on the PATH, a task would run the agent's own Python.
    mkdir -p /usr/local/bin
    ln -sf /opt/cab/bin/cab /opt/cab/bin/cab-proxy /usr/local/bin/
    if [ -n "$1" ]; then ln -sf "/opt/agent/bin/$1" /usr/local/bin/; fi
    /opt/cab/bin/python -P -m cab.adapters.install.images.contents /opt/cab/sbom.json
}

run_step() {
    step=$1
    shift
    case $step in
        tools | cab | agent | finish) "$step" "$@" ;;
        installers) install_packages "$@" ;;
        *) fail "$step is not a step" ;;
    esac
}

# An engine that is killed leaves its step running. The folder of the build goes then, and with it the step.
self=$$
trap 'trap - TERM; kill -TERM 0; exit 143' TERM
run_step "$@" &
work=$!
{ while [ -e "$here/steps.sh" ]; do sleep 1; done; kill -TERM "$self"; } >/dev/null 2>&1 &
watch=$!
code=0
wait "$work" || code=$?
kill "$watch" 2>/dev/null || true
exit "$code"
