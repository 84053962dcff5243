#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The add-on's tests, and those of the examples, under other Blenders, each as the Python module (bpy) in a throw-away environment.
#
#   tests/matrix.sh OUT [VERSION ...]      # e.g. 4.2 4.5 5.0 5.2; all four without a version
#
# Blenders on Python 3.11 borrow everything but bpy from .venv. Those on another Python (5.1 and later: 3.13) get the
# few libraries that the tests import; the backend that the add-on starts is .venv's there, as it is with a user's
# own Blender. A version whose Python or wheel cannot be had here is named and left out: exit code 8 if that leaves none.
# OUT keeps the environments (1.3 GB each) and pytest's reports; KEEP= removes each environment after its run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -ge 1 ] || { sed -n '3,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$(realpath -m "$1")
shift
[ $# -gt 0 ] || set -- 4.2 4.5 5.0 5.2
readonly TESTS=(tests/addon tests/test_extension.py tests/test_examples.py)
# The last three: what bpy 5.2 imports and pip is kept from fetching with it.
readonly LIBRARIES=(numpy pillow av fastapi uvicorn pydantic psutil httpx pytest rich typer safetensors huggingface_hub cattrs requests zstandard)
export PIP_DISABLE_PIP_VERSION_CHECK=1

python_of() {
    local wanted=3.11 candidate
    case $1 in 5.[1-9]*) wanted=3.13 ;; esac
    [ "$wanted" != 3.11 ] || { echo "$PWD/.venv/bin/python"; return; }
    for candidate in "python$wanted" "$HOME"/.pyenv/versions/"$wanted"*/bin/python"$wanted" \
        "$HOME"/.local/share/uv/python/cpython-"$wanted"*/bin/python"$wanted"; do
        "$candidate" -c '' 2>/dev/null && { echo "$candidate"; return; }
    done
    return 1
}

make_environment() {
    local version=$1 folder=$2 python
    [ ! -e "$folder/.whole" ] || return 0
    python=$(python_of "$version") || { echo "matrix: no Python for Blender $version on this machine" >&2; return 1; }
    "$python" -m venv --clear "$folder"
    "$folder/bin/python" -m pip install -q --no-deps "bpy==$version.*" ||
        { echo "matrix: no bpy $version in the package index" >&2; return 1; }
    if [ "$("$folder/bin/python" -c 'import sys; print(sys.version_info[:2])')" = "(3, 11)" ]; then
        echo "import site; site.addsitedir('$PWD/.venv/lib/python3.11/site-packages')" >"$folder/lib/python3.11/site-packages/project.pth"
    else
        "$folder/bin/python" -m pip install -q "${LIBRARIES[@]}"
        # The package is its own folder under another name; only its extension's Pythons are narrower than this one.
        "$folder/bin/python" -m pip install -q --no-deps --ignore-requires-python --editable .
    fi
    touch "$folder/.whole"
}

ran=0 failed=()
for version in "$@"; do
    folder=$out/$version
    mkdir -p "$out"
    make_environment "$version" "$folder" || continue
    ran=$((ran + 1))
    echo "== Blender $("$folder/bin/python" -c 'import bpy; print(bpy.app.version_string)' | tail -1)"
    PUPPET_MASTER_TEST_BACKEND=$PWD/.venv/bin/python "$folder/bin/python" -m pytest -q "${TESTS[@]}" \
        --junitxml "$out/$version.xml" -p no:cacheprovider || failed+=("$version")
    [ -n "${KEEP-1}" ] || rm -rf "$folder"
done
[ "$ran" -gt 0 ] || exit 8
[ ${#failed[@]} -eq 0 ] || { echo "matrix: failed under ${failed[*]}" >&2; exit 1; }
