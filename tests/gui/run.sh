#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The add-on in a real Blender window, driven by simulated events; screenshots and a result file go to OUT.
#
#   tests/gui/run.sh OUT PYTHON [MODEL [SCENE]]
#   SCENARIO=clips_in_window tests/gui/run.sh OUT PYTHON
#   SCENARIO=handles_in_window tests/gui/run.sh OUT PYTHON
#   SCENARIO=storm_in_window tests/gui/run.sh OUT PYTHON
#   SIMULATE= SCENARIO=pointer_in_window tests/gui/run.sh OUT PYTHON    # by xdotool, not by simulated events
#   SCENARIO=jobs_in_window HEIGHT=1200 tests/gui/run.sh OUT PYTHON MODEL_THAT_SAMPLES
#
#   OUT     folder for the results; what is in it is removed
#   PYTHON  the Python that has the backend installed, e.g. .venv/bin/python
#   MODEL   model name or folder for the preview; default: tiny
#   SCENE   .blend with drags; default: a box with a lid, made on the spot
#
# Needs blender (4.2 or later), Xvfb, xdotool and ImageMagick's import. Blender gets a user folder of its own
# in OUT. Exit code 0 only if every step was seen to work.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '3,18s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$(realpath -m "$1") python=$(realpath -s "$2") model=${3:-tiny}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$(dirname "$here")")

rm -rf "$out"
mkdir -p "$out/user/cache"
export HOME=$out/user BLENDER_USER_RESOURCES=$out/user/blender XDG_CACHE_HOME=$out/user/cache
export XDG_RUNTIME_DIR=$out/user LIBGL_ALWAYS_SOFTWARE=1
export PM_OUT=$out PM_PYTHON=$python PM_MODEL=$model
height=${HEIGHT:-800}
# Stands in for a browser: keeps the address it is asked to open.
printf '#!/bin/sh\nprintf "%%s\\n" "$1" >"%s/opened.txt"\n' "$out" >"$out/user/browser"
chmod +x "$out/user/browser"
export BROWSER="$out/user/browser %s"

blender --command extension validate "$root"
blender --command extension build --source-dir "$root" --output-filepath "$out/puppet_master.zip"
blender --command extension validate "$out/puppet_master.zip"
blender --command extension install-file -r user_default --enable "$out/puppet_master.zip"
blender -b --python-exit-code 1 -P "$here/set_preferences.py"

display=:$((90 + RANDOM % 900))
Xvfb "$display" -screen 0 "1280x${height}x24" -nolisten tcp >"$out/xvfb.log" 2>&1 &
xvfb=$!
trap 'kill $xvfb 2>/dev/null || true' EXIT
export DISPLAY=$display
for _ in $(seq 100); do xdotool getdisplaygeometry >/dev/null 2>&1 && break; sleep 0.1; done

timeout 1800 blender --gpu-backend opengl --window-geometry 0 0 "${WIDTH:-1280}" "$height" --no-window-focus \
    ${SIMULATE---enable-event-simulate} ${4:+"$(realpath "$4")"} -P "$here/${SCENARIO:-preview_in_window}.py" >"$out/blender.log" 2>&1 || true
[ -s "$out/result.json" ] || { tail -20 "$out/blender.log" >&2; echo "gui: no result; see $out/blender.log" >&2; exit 1; }
cat "$out/result.json"
# The backend ends with its Blender.
pid=$(sed -n 's/.*"backend_pid": \([0-9]*\).*/\1/p' "$out/result.json")
for _ in $(seq 50); do [ -z "$pid" ] || ! kill -0 "$pid" 2>/dev/null || { sleep 0.1; continue; }; pid=; break; done
[ -z "$pid" ] || { echo "gui: the backend $pid outlived its Blender" >&2; exit 1; }
grep -q '"passed": true' "$out/result.json"
! grep -A 20 Traceback "$out/blender.log" >&2
