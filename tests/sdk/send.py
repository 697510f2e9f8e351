"""Makes calls with a Python SDK, as a program would: `python send.py MODULE`, with the task as JSON on stdin."""

import json
import re
import sys
from importlib import import_module


def snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def send(module: str) -> None:
    task = json.load(sys.stdin)
    failures: list[str] = []
    analytics = import_module(module)
    settings = {"write_key": task["writeKey"], "on_error": lambda error, _batch: failures.append(str(error))}
    for name, value in (settings | task["options"]).items():
        setattr(analytics, name, value)
    for call in task["calls"]:
        arguments = {snake_case(name): value for name, value in call.items() if name != "type"}
        getattr(analytics, call["type"])(**arguments)
    analytics.flush()
    analytics.shutdown()
    if failures:
        sys.exit(f"the SDK gave up: {failures}")


send(sys.argv[1])
