#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Makes .venv with Python 3.11 and the locked dependencies; silent and quick when they are already there.
#
#   PYTHON=/path/to/python3.11   which interpreter to use (else: searched for)
#   TORCH_INDEX=URL              where torch comes from, e.g. https://download.pytorch.org/whl/cu130 for an
#                                NVIDIA GPU; the default is the CPU build
#
# Exit codes are those of puppet-master: 7 nowhere to write, 8 the machine lacks something (named, with the
# command that installs it), 1 the installation itself failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=.venv
readonly STAMP=$VENV/.installed
readonly LOCK=requirements.lock
readonly CPU_INDEX=https://download.pytorch.org/whl/cpu
readonly OS_RELEASE=${OS_RELEASE:-/etc/os-release}
readonly FREE_GIB=4 # the environment takes 2.6 GiB, and pip unpacks beside it
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
    local code=$1
    shift
    say "$*"
    exit "$code"
}

# The environment is current when it stands where it was made and holds what these files ask for.
fingerprint() {
    { pwd -P; echo "${TORCH_INDEX:-cpu}"; cat "$LOCK" pyproject.toml "${BASH_SOURCE[0]}"; } | cksum
}

is_311() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1; }

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        is_311 "$PYTHON" || die 8 "PYTHON=$PYTHON is not a Python 3.11, which Blender's module needs"
        echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3 python \
        "$HOME"/.pyenv/versions/3.11*/bin/python3.11 \
        "$HOME"/.local/share/uv/python/cpython-3.11*/bin/python3.11; do
        if is_311 "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    die 8 "Python 3.11 is missing (Blender 5.0's module runs on no other version). Install it with: $(python_hint)"
}

python_hint() {
    if command -v brew >/dev/null; then
        echo "brew install python@3.11"
    elif grep -qsE '^VERSION_CODENAME=(bookworm|jammy)$' "$OS_RELEASE"; then # those that have 3.11
        echo "sudo apt-get update && sudo apt-get install python3.11 python3.11-venv"
    elif command -v dnf >/dev/null; then
        echo "sudo dnf install python3.11"
    elif command -v uv >/dev/null; then
        echo "uv python install 3.11"
    elif command -v pyenv >/dev/null; then
        echo "pyenv install 3.11"
    else
        echo "uv python install 3.11 (uv: https://docs.astral.sh/uv/), or pyenv install 3.11"
    fi
}

check_platform() {
    case "$(uname -s)-$(uname -m)" in
        Linux-x86_64 | Darwin-arm64 | MINGW*-x86_64 | MSYS*-x86_64) ;;
        *) die 8 "Blender's module exists for Linux x86_64, macOS arm64 and Windows x86_64; this is $(uname -sm)" ;;
    esac
}

check_space() {
    local free_kib
    free_kib=$(df -Pk . | awk 'NR == 2 { print $4 }')
    [ "$free_kib" -ge $((FREE_GIB * 1024 * 1024)) ] ||
        die 7 "$PWD has $((free_kib / 1024 / 1024)) GiB free; the environment needs $FREE_GIB GiB: make room there"
}

check_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        die 8 "$1 cannot make environments (its venv module is packaged apart)." \
            "Install it with: sudo apt-get install python3.11-venv"
}

# With a terminal, pip shows how far it is; without one, errors alone.
pip() {
    local noise=-qq
    [ -t 2 ] && noise=--progress-bar=on
    "$VENV/bin/python" -m pip install "$noise" "$@"
}

locked() { grep -E "^$1==" "$LOCK"; }

# From PyPI, torch for Linux is the CUDA build with some 3 GB of companions. The CPU build carries the local
# version "+cpu": first from wherever pip is set up to look (a mirror, a wheel folder), then from PyTorch's hub.
install_torch() {
    local torch
    torch=$(locked torch)
    if [ -n "${TORCH_INDEX:-}" ]; then
        pip --constraint "$LOCK" --extra-index-url "$TORCH_INDEX" "$torch"
    elif [ "$(uname -s)" != Linux ]; then
        : # PyPI's build is the CPU build (on macOS, with Metal)
    elif ! pip --no-deps "$torch+cpu" 2>/dev/null &&
        ! pip --no-deps --retries 1 --timeout 20 --index-url "$CPU_INDEX" "$torch+cpu"; then
        say "the CPU build of torch cannot be reached at $CPU_INDEX; taking PyPI's larger build instead"
    fi
}

install() {
    # Built with the locked setuptools: nothing is fetched for it, and it is the same tomorrow.
    install_torch &&
        pip --requirement "$LOCK" &&
        pip --no-deps --no-build-isolation --editable .
}

main() {
    local wanted python
    wanted=$(fingerprint)
    if [ "$wanted" = "$(cat "$STAMP" 2>/dev/null)" ] && [ -x "$VENV/bin/python" ]; then
        return
    fi
    check_platform
    python=$(find_python)
    check_venv "$python"
    "$python" .ci/check_system.py || exit $?
    rm -f "$STAMP"
    if is_311 "$VENV/bin/python" && "$VENV/bin/python" -m pip --version | grep -qF "$(pwd -P)/"; then
        say "bringing $VENV up to $LOCK"
    else
        check_space
        say "installing the locked dependencies into $VENV (2.6 GiB; a few minutes on a fast connection)"
        "$python" -m venv --clear "$VENV" || die 7 "cannot make the environment $PWD/$VENV"
    fi
    install || die 1 "the installation failed (pip says why above); run the same command again to go on"
    echo "$wanted" >"$STAMP"
    say "done"
}

main
