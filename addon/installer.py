# SPDX-License-Identifier: GPL-3.0-or-later
"""Program: installs, checks and removes the backend's Python environment, in a process of its own.

    python installer.py install ROOT --lock FILE [--torch auto|cpu|cuda|rocm|mps] [--index URL] [--python PATH]
    python installer.py verify ROOT --lock FILE
    python installer.py uninstall ROOT
    python installer.py probe

It prints JSON lines: `{"event": "stage"|"progress"|"note", ...}` and last `{"event": "end", ...}`, or
`{"event": "error", "kind", "message"}` with the exit code of the error's kind. What pip says goes to
`ROOT/install.log`. Everything lies below ROOT: `venv`, pip's cache, temporary files. `ROOT/INCOMPLETE` is there
from the first step to the last; the same command goes on where it was stopped. It stops when stdin ends: the
Blender that started it has cancelled, or is gone.

stdlib only, and nothing of this package: Blender's own Python runs it by its path.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# What the backend imports; the lock says which versions, of these and of all that they need.
REQUIREMENTS = (
    "accelerate", "av", "diffusers", "fastapi", "filelock", "huggingface_hub", "numpy", "pillow", "psutil", "pydantic",
    "rich", "safetensors", "torch", "transformers", "typer", "uvicorn",
)  # fmt: skip
IMPORTED = ("torch", "diffusers", "transformers", "av", "PIL", "fastapi", "uvicorn", "psutil", "typer")
FITTING = ((3, 11), (3, 12))  # Python versions that the locked packages have builds for
BUILDS = ("cpu", "cuda", "rocm", "mps")
PYTORCH = "https://download.pytorch.org/whl"
# Smallest CUDA that a driver must know for a build of torch, best first.
CUDA_BUILDS = ((13000, "cu130"), (12060, "cu126"))
# A version of torch is built for one or two of these: they are tried in turn.
ROCM_BUILDS = ("rocm7.2", "rocm7.1", "rocm7.0", "rocm6.4")
NEEDED_GIB = {"cpu": 4, "mps": 4, "cuda": 12, "rocm": 20}
INCOMPLETE, INSTALLED, LOG, LOCKED = "INCOMPLETE", "installed.json", "install.log", "lock"
IN_USE = "in-use"
# Shares of the whole that the stages end at.
SHARES = {"python": 0.02, "device": 0.04, "environment": 0.08, "torch": 0.55, "libraries": 0.95, "verify": 1.0}
EXIT_CODES = {"backend": 6, "output": 7, "requirement": 8, "cancelled": 130}
PROBE_S = 20.0
UNREACHABLE = r"Temporary failure in name resolution|Failed to establish a new conn|getaddrinfo failed|ProxyError"

_child: subprocess.Popen[str] | None = None
_cancelled = threading.Event()


class Refusal(Exception):
    """An end that the user can do something about; `kind` is that of the project's errors."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def tell(event: str, **values: Any) -> None:
    """Print an event."""
    print(json.dumps({"event": event, **values}), flush=True)


# Finding a Python and a device.


def find_python(chosen: str, root: Path) -> str:
    """A Python that the locked packages have builds for and that can make environments.

    Raises:
        Refusal: there is none; names what was looked at.
    """
    seen: list[str] = []
    for candidate in dict.fromkeys([chosen] if chosen else _candidates(root)):
        version = _version_of(candidate)
        if version is None:
            continue
        if version[:2] in FITTING and _can_make_environments(candidate):
            return candidate
        lacks = "" if version[:2] not in FITTING else " without its venv module"
        seen.append(f"{candidate} ({version[0]}.{version[1]}{lacks})")
    wanted = " or ".join(f"{major}.{minor}" for major, minor in FITTING)
    if uv := shutil.which("uv"):
        return _uv_python(uv, root)
    found = f"found {', '.join(seen)}" if seen else f"{chosen} does not run" if chosen else "found none at all"
    raise Refusal(
        "requirement",
        f"the backend needs Python {wanted} with its venv module; {found}. Install one from python.org, with "
        "'uv python install 3.11', or 'sudo apt-get install python3.11 python3.11-venv', and try again",
    )


def _candidates(root: Path) -> Iterator[str]:
    """Pythons that may fit, the likeliest first: those that are installed for the user, then Blender's own."""
    exe = "python.exe" if sys.platform == "win32" else "bin/python3"
    for major, minor in FITTING:
        if path := shutil.which(f"python{major}.{minor}"):
            yield path
        yield from map(str, sorted((Path.home() / ".pyenv" / "versions").glob(f"{major}.{minor}*/{exe}"), reverse=True))
        yield from map(str, sorted(root.glob(f"python/*{major}.{minor}*/{exe}"), reverse=True))
        if sys.platform == "win32":
            yield from _windows_launcher(f"{major}.{minor}")
    for name in ("python3", "python"):
        if path := shutil.which(name):
            yield path
    yield sys.executable


def _windows_launcher(version: str) -> Iterator[str]:
    if launcher := shutil.which("py"):
        done = _ask([launcher, f"-{version}", "-c", "import sys; print(sys.executable)"])
        if done:
            yield done


def _version_of(python: str) -> tuple[int, int] | None:
    answer = _ask([python, "-c", "import sys; print(*sys.version_info[:2])"])
    try:
        major, minor = map(int, answer.split())
    except ValueError:
        return None
    return major, minor


def _can_make_environments(python: str) -> bool:
    return _ask([python, "-c", "import ensurepip, venv; print('yes')"]) == "yes"


def _uv_python(uv: str, root: Path) -> str:
    """A Python that uv knows, or fetches into ROOT."""
    environment = {**clean_environment(root), "UV_PYTHON_INSTALL_DIR": str(root / "python")}
    if found := _ask([uv, "python", "find", "3.11"], environment):
        return found
    tell("progress", share=0.01, detail="fetching Python 3.11 with uv")
    run([uv, "python", "install", "3.11"], root, environment)
    if found := _ask([uv, "python", "find", "3.11"], environment):
        return found
    raise Refusal("requirement", f"uv could not fetch Python 3.11; {root / LOG} says why")


def _ask(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """The one line that a command prints; empty if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_S, stdin=subprocess.DEVNULL,
            env=environment or clean_environment(None),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def probe_apart() -> dict[str, Any]:
    """What `probe_device` finds, in a process that a faulty driver may take down with it."""
    answer = _ask([sys.executable, str(Path(__file__).absolute()), "probe"])
    try:
        return json.loads(answer)
    except ValueError:
        return {"build": "cpu", "name": "the probe for graphics cards failed; the processor is used"}


def probe_device() -> dict[str, Any]:
    """Which build of torch serves this machine best: `build`, `name` of the device, `driver` of CUDA."""
    if sys.platform == "darwin":
        return {"build": "mps" if platform.machine() == "arm64" else "cpu", "name": platform.machine()}
    return _probe_cuda() or _probe_rocm() or {"build": "cpu", "name": platform.processor() or platform.machine()}


def _probe_cuda() -> dict[str, Any] | None:
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    count, driver, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(128)
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    cuda.cuDriverGetVersion(ctypes.byref(driver))
    cuda.cuDeviceGetName(name, len(name), 0)
    return {"build": "cuda", "name": name.value.decode("utf-8", "replace"), "driver": driver.value}


def _probe_rocm() -> dict[str, Any] | None:
    """AMD's driver lists its cards in files: no library of theirs has to be there yet."""
    for node in sorted(Path("/sys/class/kfd/kfd/topology/nodes").glob("*/properties")):
        with contextlib.suppress(OSError):
            target = re.search(r"^gfx_target_version (\d+)", node.read_text(), re.MULTILINE)
            if target and int(target[1]):
                return {"build": "rocm", "name": f"AMD gfx {target[1]}"}
    return None


# Installing.


def install(root: Path, lock: Path, build: str, index: str, chosen_python: str) -> dict[str, Any]:
    """Make the environment, or bring one up to date; gives what `installed.json` says."""
    (root / INCOMPLETE).write_text("an installation has begun and not ended; install again to go on\n", "utf-8")
    (root / INSTALLED).unlink(missing_ok=True)
    begin("python")
    python = find_python(chosen_python, root)
    begin("device")
    device = probe_apart()
    build = device["build"] if build == "auto" else build
    check_space(root, build)
    tell("note", text=f"{build}: {device['name']}")
    begin("environment")
    environment_python = make_environment(python, root)
    pins = read_lock(lock)
    begin("torch")
    tag = install_torch(environment_python, root, pins["torch"], torch_tags(build, device.get("driver", 0)), index)
    begin("libraries")
    # torch is there; named again, what it needs comes too.
    wanted = [name if name == "torch" else f"{name}=={pins[canonical(name)]}" for name in REQUIREMENTS]
    companions = ["--extra-index-url", f"{PYTORCH}/{tag}"] if build in ("cuda", "rocm") and not index else []
    limits = ["--constraint", str(constraints(root, pins))]
    pip(environment_python, root, "libraries", len(pins) // 2, [*limits, *companions, *wanted], index)
    begin("verify")
    about = verify(root, lock)
    about.update(build=build, base_python=python, device_name=device["name"])
    write_whole(root / INSTALLED, json.dumps(about, indent=2) + "\n")
    for left in ("cache", "tmp"):
        shutil.rmtree(root / left, ignore_errors=True)
    (root / INCOMPLETE).unlink()
    return about


def begin(stage: str) -> None:
    """Tell that a stage begins, at the share of the whole at which the one before ended."""
    names = list(SHARES)
    before = SHARES[names[names.index(stage) - 1]] if names.index(stage) else 0.0
    tell("stage", stage=stage, share=before)


def check_space(root: Path, build: str) -> None:
    """Raises `Refusal` unless what is still to come has room."""
    free = shutil.disk_usage(root).free / 2**30
    if free < NEEDED_GIB[build] and not (root / "venv").is_dir():
        needed = NEEDED_GIB[build]
        raise Refusal("output", f"{root} has {free:.1f} GiB free; the {build} build needs {needed} GiB: make room")


def make_environment(python: str, root: Path) -> str:
    """The environment's Python; an environment that works is kept, whatever of it is installed by now."""
    made = venv_python(root)
    if _version_of(str(made)) == _version_of(python) and _ask([str(made), "-m", "pip", "--version"]):
        return str(made)
    run([python, "-m", "venv", "--clear", str(root / "venv")], root, clean_environment(root))
    return str(made)


def venv_python(root: Path) -> Path:
    """Where the environment's Python is, or would be."""
    return root / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install_torch(python: str, root: Path, version: str, tags: Sequence[str], index: str) -> str:
    """Install a build of torch: from wherever pip is set up to look, else from PyTorch's own index; gives its tag.

    Raises:
        Refusal: none can be had.
    """
    for number, tag in enumerate(tags, 1):
        wanted = ["--no-deps", f"torch=={version}{'+' + tag if tag else ''}"]
        # An index of its own comes second: a studio's mirror or wheel folder may have the build.
        for own in ([[]] if index or not tag else [[], ["--index-url", f"{PYTORCH}/{tag}"]]):
            try:
                pip(python, root, "torch", 1, [*wanted, *own], index)
            except Refusal as error:
                is_last = number == len(tags) and (own or index or not tag)
                if error.kind == "cancelled" or is_last:
                    raise
            else:
                return tag
    raise AssertionError("the last attempt returns or raises")


def torch_tags(build: str, driver: int) -> tuple[str, ...]:
    """Local versions of torch that serve a device, best first; empty where the package index's own does.

    Raises:
        Refusal: the driver is too old for any.
    """
    if build == "mps" or (build == "cpu" and not sys.platform.startswith("linux")):
        return ("",)
    if build == "rocm":
        return ROCM_BUILDS
    if build == "cpu":
        return ("cpu",)
    if tags := tuple(tag for least, tag in CUDA_BUILDS if driver == 0 or driver >= least):
        return tags
    least = CUDA_BUILDS[-1][0]
    raise Refusal(
        "requirement",
        f"the NVIDIA driver knows CUDA {driver // 1000}.{driver % 1000 // 10} at most; update it to one for CUDA "
        f"{least // 1000}.{least % 1000 // 10}, or choose the CPU build",
    )


def read_lock(lock: Path) -> dict[str, str]:
    """Versions by package name."""
    lines = lock.read_text("utf-8").splitlines()
    return {canonical(name): version for name, _, version in (line.partition("==") for line in lines) if version}


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints(root: Path, pins: dict[str, str]) -> Path:
    """The lock as a file for pip, torch left out: its build is chosen already."""
    path = root / "constraints.txt"
    write_whole(path, "".join(f"{name}=={version}\n" for name, version in pins.items() if name != "torch"))
    return path


def pip(python: str, root: Path, stage: str, expected: int, arguments: list[str], index: str) -> None:
    """Run `pip install`, telling how far it is from what it prints."""
    command = [python, "-m", "pip", "install", "--progress-bar", "off", "--no-input", *arguments]
    command += ["--index-url", index] if index else []
    follow = PipProgress(root, stage, expected)
    stop = follow.watch_downloads()
    try:
        run(command, root, clean_environment(root), follow.take_in)
    finally:
        stop()


class PipProgress:
    """How far pip is: packages it has looked up, and bytes of the file that it is fetching."""

    def __init__(self, root: Path, stage: str, expected: int) -> None:
        names = list(SHARES)
        self._low, self._high = SHARES[names[names.index(stage) - 1]], SHARES[stage]
        self._root, self._expected = root, max(1, expected)
        self._files = 0
        self._name, self._bytes = "", 0.0

    def take_in(self, line: str) -> None:
        """Go on by a line of pip's."""
        if found := re.match(r"\s*(?:Downloading|Using cached) (\S+)(?: \(([\d.]+) (k|M|G)?B\))?", line):
            self._files += 1
            self._name = found[1].rpartition("/")[2].partition("-")[0]
            self._bytes = float(found[2] or 0) * {"k": 1e3, "M": 1e6, "G": 1e9}.get(found[3] or "", 1)
            self.tell()
        elif line.startswith("Installing collected packages"):
            self._files, self._name, self._bytes = self._expected, "unpacking", 0.0
            self.tell()

    def tell(self, fetched: float = 0.0) -> None:
        """Print where it is."""
        part = min(1.0, fetched / self._bytes) if self._bytes else 0.0
        done = min(self._expected, max(0, self._files - 1) + part) / self._expected
        size = f", {fetched / 1e6:.0f} of {self._bytes / 1e6:.0f} MB" if self._bytes >= 1e6 else ""
        share = self._low + (self._high - self._low) * min(done, 0.95)
        tell("progress", share=round(share, 3), detail=f"{self._name}{size}")

    def watch_downloads(self) -> Any:
        """Look at the files pip writes while it fetches; gives the function that ends that."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(1.0):
                if self._bytes >= 1e6:
                    self.tell(_largest(self._root / "tmp"))

        threading.Thread(target=watch, daemon=True).start()
        return over.set


def _largest(folder: Path) -> float:
    with contextlib.suppress(OSError):
        return max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)
    return 0.0


# Checking and removing.

_LOOK = """
import importlib, importlib.metadata, json, platform, re, sys
missing = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        missing.append(f"{name}: {type(error).__name__}: {error}")
names = lambda dist: re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower()
versions = {names(dist): dist.version for dist in importlib.metadata.distributions()}
print(json.dumps({"missing": missing, "versions": versions, "python": platform.python_version()}))
"""


def verify(root: Path, lock: Path) -> dict[str, Any]:
    """Import what the backend imports and compare versions with the lock; gives what is installed.

    Raises:
        Refusal: something is missing or of another version; names the first.
    """
    python = venv_python(root)
    if not python.is_file():
        raise Refusal("backend", f"there is no environment in {root}; install it")
    answer = run([str(python), "-c", _LOOK, *IMPORTED], root, clean_environment(root)).strip().splitlines()
    found = json.loads(answer[-1])
    if found["missing"]:
        raise Refusal("backend", f"a library cannot be loaded: {found['missing'][0]}; install again to mend it")
    pins = read_lock(lock)
    for name in map(canonical, REQUIREMENTS):
        version = found["versions"].get(name, "").partition("+")[0]
        if version != pins[name]:
            raise Refusal(
                "backend", f"{name} is {version or 'missing'}, not {pins[name]}; install again to bring it up to date"
            )
    return {
        "lock": fingerprint(lock),
        "python": found["python"],
        "torch": found["versions"]["torch"],
        "packages": len(found["versions"]),
        "when": time.strftime("%Y-%m-%d %H:%M"),
    }


def fingerprint(lock: Path) -> str:
    """What tells one lock from another."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:16]


def uninstall(root: Path) -> dict[str, Any]:
    """Remove the environment and everything that installing left."""
    (root / INCOMPLETE).write_text("an uninstallation has begun and not ended; uninstall again\n", "utf-8")
    (root / INSTALLED).unlink(missing_ok=True)
    for name in ("venv", "cache", "tmp", "python"):
        tell("progress", share=0.5, detail=f"removing {name}")
        if (root / name).exists():
            shutil.rmtree(root / name)
    for name in ("constraints.txt", LOG, INCOMPLETE):
        (root / name).unlink(missing_ok=True)
    return {}


# Processes, files and the way out.


def run(command: Sequence[str], root: Path, environment: dict[str, str], take_in: Any = None) -> str:
    """Run a command with its output in the log; gives that output.

    Raises:
        Refusal: it failed; says how.
    """
    global _child
    lines: list[str] = []
    with (root / LOG).open("a", encoding="utf-8") as log:
        log.write(f"\n$ {' '.join(command[:6])} ...\n")
        _child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            encoding="utf-8", errors="replace", env=environment, cwd=root,
        )  # fmt: skip
        assert _child.stdout is not None
        for line in _child.stdout:
            log.write(line)
            log.flush()
            lines.append(line)
            if take_in is not None:
                take_in(line)
        code = _child.wait()
        _child = None
    if _cancelled.is_set():
        raise Refusal("cancelled", "cancelled; install again to go on from here")
    if code:
        raise Refusal("backend", f"{explain(lines, code)}; the log: {root / LOG}")
    return "".join(lines)


def explain(lines: list[str], code: int) -> str:
    """Why a command failed, for the user, from what it printed."""
    text = "".join(lines)
    if "No space left on device" in text:
        return "the disk is full; make room and install again to go on"
    if re.search(UNREACHABLE, text):
        return "the package index cannot be reached; check the network and install again to go on"
    if found := re.findall(r"No matching distribution found for (\S+)", text):
        return f"the package index has no {found[-1]} for this machine"
    if found := re.findall(r"Cannot install (?:[\w.=+-]+ and )?([\w-]+)", text):
        return f"the package index has no {found[-1]} of the locked version for this machine"
    if "Permission denied" in text:
        return "a file cannot be written (permission denied)"
    errors = [line.strip().removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    last = errors or [line.strip() for line in lines if line.strip()]
    return last[-1] if last else f"a command ended with exit code {code}"


def clean_environment(root: Path | None) -> dict[str, str]:
    """This process's environment without what is meant for Blender's Python; pip keeps its files below ROOT."""
    drop = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in drop}
    environment.update(PYTHONNOUSERSITE="1", PYTHONUNBUFFERED="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    if root is not None:
        (root / "tmp").mkdir(parents=True, exist_ok=True)
        environment.update(PIP_CACHE_DIR=str(root / "cache"), TMPDIR=str(root / "tmp"), TEMP=str(root / "tmp"))
    return environment


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """The only installer at work on ROOT, and nobody using what is there.

    Raises:
        Refusal: another one is, or a backend runs from there.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = (root / LOCKED).open("a+b")
    except OSError as error:
        raise Refusal("output", f"cannot write to {root}: {error.strerror}; make it writable") from error
    with file:
        try:
            _lock(file)
        except OSError:
            raise Refusal(
                "backend", f"another Blender is installing the backend in {root}; wait until it is done"
            ) from None
        if users := backends_of(root):
            raise Refusal(
                "backend",
                f"a backend of another Blender (process {users[0]}) runs from {root}; stop it there, then try again",
            )
        yield


def _lock(file: Any) -> None:
    """Lock a file until it is closed. Raises OSError when another process has."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def backends_of(root: Path) -> list[int]:
    """Processes of backends that run from ROOT; notes of those that are gone are removed."""
    alive = []
    for note in (root / IN_USE).glob("*"):
        if note.name.isdecimal() and _is_alive(int(note.name)):
            alive.append(int(note.name))
        else:
            note.unlink(missing_ok=True)
    return alive


def note_in_use(root: Path, pid: int) -> Path:
    """Tell other Blenders that a backend runs from ROOT, so that they do not change what it runs on."""
    note = root / IN_USE / str(pid)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    return note


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def stop_when_stdin_ends() -> None:
    """Wait for the end of stdin, then end the running command and this process's work."""
    while os.read(0, 4096):
        pass
    _cancelled.set()
    child = _child
    if child is not None:
        child.terminate()
        time.sleep(2.0)
        child.kill()
    time.sleep(5.0)
    os._exit(EXIT_CODES["cancelled"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    given = _parser().parse_args(arguments)
    if given.command == "probe":
        print(json.dumps(probe_device()))
        return 0
    root = given.root.absolute()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in Blender's terminal is for Blender
    threading.Thread(target=stop_when_stdin_ends, daemon=True).start()
    try:
        with alone(root):
            if given.command == "install":
                about = install(root, given.lock, given.torch, given.index, given.python)
            elif given.command == "verify":
                tell("stage", stage="verify", share=0.1)
                about = verify(root, given.lock)
            else:
                about = uninstall(root)
    except Refusal as error:
        tell("error", kind=error.kind, message=" ".join(str(error).split()))
        return EXIT_CODES[error.kind]
    except OSError as error:
        tell("error", kind="output", message=f"cannot write {error.filename or root}: {error.strerror}")
        return EXIT_CODES["output"]
    tell("end", **about)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("installer", description="The backend's Python environment.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("probe")
    for name in ("install", "verify", "uninstall"):
        command = commands.add_parser(name)
        command.add_argument("root", type=Path)
        if name != "uninstall":
            command.add_argument("--lock", type=Path, required=True)
    install_command = commands.choices["install"]
    install_command.add_argument("--torch", choices=("auto", *BUILDS), default="auto")
    install_command.add_argument("--index", default="")
    install_command.add_argument("--python", default="")
    return parser


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the thread that reads stdin would hold the end up
