#!/usr/bin/env bash
# Installs the published packages that this app runs into `target/`, once: a second run does nothing
# unless requirements.txt or package-lock.json has changed since.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# need PROGRAM PACKAGE: stops with the name of the Debian package when PROGRAM is missing.
need() {
    if ! command -v "$1" >/dev/null; then
        echo "build.sh: $1 is not installed; on Debian: apt-get install $2" >&2
        exit 1
    fi
}
need redis-server redis-server
need redis-cli redis-tools
need python3 python3-venv
need node nodejs
need npm npm
need flock util-linux

mkdir -p target
# The services of an app may be built at the same time, and all of them call this script.
exec 9>target/build.lock
flock 9

# current STAMP FILE...: whether the install that left STAMP was made from these very files.
current() {
    [[ -f $1 ]] && cat "${@:2}" | cmp --quiet - "$1"
}

if ! current target/venv/installed-from requirements.txt; then
    rm -rf target/venv
    if ! python3 -m venv target/venv; then
        echo "build.sh: no Python environment could be made; on Debian: apt-get install python3-venv" >&2
        exit 1
    fi
    target/venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
    cp requirements.txt target/venv/installed-from
fi

if ! current target/node_modules/installed-from package.json package-lock.json; then
    rm -rf target/node_modules
    cp package.json package-lock.json target/
    # No script of a package is run: the one that wants to is an optional part that compiles C++.
    npm --prefix target ci --ignore-scripts --no-audit --no-fund --loglevel=error
    cat package.json package-lock.json > target/node_modules/installed-from
fi
