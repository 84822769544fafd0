"""Keeps what was prepared beside other work from being timed beside it: GATE=FILE says where the two sides meet."""
import os
import pathlib
import time


def wait():
    """Says that all is prepared, and waits until the machine is free."""
    if name := os.environ.get("GATE"):
        pathlib.Path(name + ".ready").touch()
        while not pathlib.Path(name + ".go").exists():
            time.sleep(0.05)
