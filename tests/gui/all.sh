#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# All scenarios in a real Blender window, one after another; screenshots and results go to OUT/<scenario>. One that
# fails does not keep the others from running.
#
#   tests/gui/all.sh OUT [SCENARIO ...]
#
# Uses the Blender, Xvfb, xdotool and ImageMagick of this machine where they are. Where they are not, and this is
# Debian with root's rights, it makes a Debian of its own below OUT/root (a download of some 400 MB, 1.3 GB on the
# disk) and runs there, without any network but its own loopback.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ $# -ge 1 ] || { sed -n '3,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$(realpath -m "$1")
shift
scenarios=("$@")
[ $# -gt 0 ] || scenarios=(preview_in_window jobs_in_window clips_in_window limits_in_window handles_in_window pointer_in_window storm_in_window)
readonly SUITE=${SUITE:-trixie}
readonly PACKAGES=blender,xvfb,xauth,xdotool,imagemagick,libegl1,libgl1,libgl1-mesa-dri,libegl-mesa0,libglx-mesa0
# What Blender's extension tool imports and Debian's Blender leaves to the system.
readonly MODULES=python3-numpy,python3-requests,python3-zstandard,python3-cattr

has_all() { for tool in blender Xvfb xdotool import; do command -v "$tool" >/dev/null || return 1; done; }

# The Debian mirror that this machine is set up with.
mirror() {
    local own
    # shellcheck disable=SC2016 # apt's own placeholder
    own=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m1 -E '/debian/?$') || own=http://deb.debian.org/debian
    echo "${MIRROR:-$own}"
}

make_root() {
    [ -e "$out/root/usr/bin/blender" ] && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
        { echo "gui: install blender, xvfb, xdotool and imagemagick; or run this as root on Debian" >&2; exit 8; }
    command -v mmdebstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq mmdebstrap; }
    mkdir -p "$out"
    rm -rf --one-file-system "$out/root.part"
    mmdebstrap --quiet --variant=apt --include="$PACKAGES,$MODULES" --aptopt='APT::Install-Recommends "false"' \
        --aptopt='Acquire::Languages "none"' --dpkgopt='force-unsafe-io' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --customize-hook='ln -sf /proc/self/mounts "$1/etc/mtab"' \
        "$SUITE" "$out/root.part" "$(mirror)"
    mv "$out/root.part" "$out/root"
}

# Runs a command in the root, with this checkout, its Python and OUT at the same places; nothing of it outlives the call.
in_root() {
    local python
    python=$(dirname "$(dirname "$(realpath .venv/bin/python)")")
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --net --pid --fork --kill-child bash -c '
        root=$1; shift
        ip link set lo up
        mount --make-rprivate /
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        for folder in "$1" "$2" "$3"; do mkdir -p "$root$folder"; mount --bind "$folder" "$root$folder"; done
        cd "$1"; shift 3
        exec chroot "$root" "$@"' _ "$out/root" "$PWD" "$python" "$out" "$@"
}

scenario() {
    local model=tiny
    if [ "$1" = jobs_in_window ]; then
        rm -rf "$out/random"
        .venv/bin/python tests/random_model.py "$out/random"
        model=$out/random
    fi
    local height=1200 options=()
    case $1 in
        handles_in_window) height=800 ;;
        pointer_in_window) options=(SIMULATE=) ;;           # simulated events shut real ones out
        storm_in_window) height=640 options=(WIDTH=900) ;;  # drawing takes most of its time
    esac
    local run=(env "SCENARIO=$1" HEIGHT=$height "${options[@]}" bash "$PWD/tests/gui/run.sh" "$out/$1" "$PWD/.venv/bin/python" "$model")
    if has_all; then "${run[@]}"; else make_root && in_root "${run[@]}"; fi
}

failed=()
for name in "${scenarios[@]}"; do
    scenario "$name" || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || { echo "gui: failed: ${failed[*]}; see $out" >&2; exit 1; }
