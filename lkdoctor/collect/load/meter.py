"""Run by another Python, of any version from 3.8 on and with nothing of lkdoctor: calls the load function that a worker
there would use, twice a second, and prints what it returns, one JSON object a line; the first line says what it is.

Without an argument it is the SDK's own: its module that measures is imported, and the rest of the SDK is not, which would
keep a small machine busy for seconds. With `module:name` it is that function.
"""

# ruff: noqa: T201, UP031, PLC0415 - for old Pythons, and with no import that is not needed
import importlib
import importlib.util
import inspect
import json
import math
import os
import sys
import time
import types


def say(**fields: object) -> None:
    """One line."""
    print(json.dumps(fields), flush=True)


def home_of_sdk() -> str:
    """The folder of livekit.agents, found without importing it; empty when it is not installed."""
    found = importlib.util.find_spec("livekit")
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        if os.path.isfile(os.path.join(folder, "agents", "version.py")):
            return os.path.join(folder, "agents")
    return ""


def version_of(home: str) -> str:
    """What version.py says."""
    names: dict = {}  # type: ignore[type-arg]
    with open(os.path.join(home, "version.py"), encoding="utf-8") as file:
        exec(file.read(), names)  # noqa: S102 - the SDK's own file, which an import would run, too
    return str(names.get("__version__", ""))


def monitor_of(home: str):  # type: ignore[no-untyped-def]
    """The SDK's own measuring object; None before 0.11, where the worker asked psutil itself."""
    if not os.path.isfile(os.path.join(home, "utils", "hw", "cpu.py")):
        return None
    for name, folder in (("livekit.agents", home), ("livekit.agents.utils", os.path.join(home, "utils"))):
        package = types.ModuleType(name)
        package.__path__ = [folder]
        sys.modules[name] = package
    return importlib.import_module("livekit.agents.utils.hw.cpu").get_cpu_monitor()


def sdk(home: str) -> None:
    """The SDK's own load function, sampled as its worker does: half a second each, five of them make the load."""
    monitor = monitor_of(home)
    if monitor is None:
        import psutil

        say(sdk="python", version=version_of(home), by="rule", monitor="", divisor=psutil.cpu_count(), window=5)
    else:
        name = type(monitor).__name__
        say(sdk="python", version=version_of(home), by="sdk", monitor=name, divisor=monitor.cpu_count(), window=5)
    while True:
        began = time.monotonic()
        value = psutil.cpu_percent(0.5) / 100 if monitor is None else monitor.cpu_percent(interval=0.5)
        answer(value, time.monotonic() - began - 0.5)


def answer(value: object, took: float, error: str = "", looked: bool = False) -> None:
    """One sample; what JSON has no number for stands as text. `looked`: the function read something of its worker."""
    number = isinstance(value, (int, float)) and math.isfinite(value)
    shown = value if number else repr(value)
    say(at=time.time(), value=shown, took=round(max(took, 0.0), 4), error=error, looked=looked)


class Idle:
    """A worker without jobs, which tells whether anything of it was read."""

    def __init__(self) -> None:
        self.active_jobs: list = []  # type: ignore[type-arg]
        self.looked = False

    def __getattribute__(self, name: str) -> object:
        object.__setattr__(self, "looked", True)
        return object.__getattribute__(self, name)


def users(named: str) -> None:
    """A function of the user's, called as the SDK calls it: with the worker when it takes an argument. Here that is one
    without jobs."""
    module, _, name = named.partition(":")
    if not module or not name:
        say(error="%s is no load function: write module:name, as in my_agent:load" % named)
        return
    sys.path.insert(0, os.getcwd())
    try:
        function = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        takes = len(inspect.signature(function).parameters)  # type: ignore[arg-type]
    except BaseException as error:  # noqa: BLE001 - whatever the user's module does, it is told
        say(error="%s cannot be loaded: %s: %s" % (named, type(error).__name__, error))
        return
    home = home_of_sdk()
    say(
        sdk="python" if home else "",
        version=version_of(home) if home else "",
        by="function",
        function=named,
        window=1,
    )
    worker = Idle()
    while True:
        began = time.monotonic()
        value, failed = None, ""
        try:
            value = function(worker) if takes else function()  # type: ignore[operator]
        except Exception as raised:  # noqa: BLE001 - the same
            failed = "%s: %s" % (type(raised).__name__, raised)
        answer(value, time.monotonic() - began, failed, object.__getattribute__(worker, "looked"))
        time.sleep(0.5)


def main() -> None:
    """Says what is missing, or measures until it is ended."""
    if len(sys.argv) > 1:
        users(sys.argv[1])
        return
    home = home_of_sdk()
    if not home:
        say(error="livekit-agents is not installed in " + sys.executable)
        return
    try:
        sdk(home)
    except ImportError as error:
        say(error="the load function of livekit-agents cannot be loaded: %s" % error)


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)  # who listened is gone
