#!/usr/bin/env python3
"""The manual page ddpm(1), in mdoc, from what `ddpm --experimental-dump-help` says.

  ddpm --experimental-dump-help | manual.py VERSION >ddpm.1
"""

import datetime
import json
import os
import sys


def escaped(text):
    """Text that troff takes as it is: no escapes, no line that begins with a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.split("\n"))


def words(text):
    """The same as an argument of a macro."""
    return '"' + escaped(text).replace('"', '""') + '"'


def paragraphs(text):
    """Prose is filled; indented lines are examples and stay as they are."""
    example = False
    for line in text.split("\n"):
        indented = line.startswith("  ")
        if indented != example:
            yield ".Bd -literal -offset indent -compact" if indented else ".Ed"
            example = indented
        if not line.strip():
            yield ".Pp" if not example else ""
        else:
            yield escaped(line.removeprefix("  ") if indented else line)
    if example:
        yield ".Ed"


def flags(argument):
    names = ["--" + n["name"] if n["kind"] == "long" else "-" + n["name"] for n in argument.get("names", [])]
    value = f" <{argument['valueName']}>" if argument["kind"] == "option" and argument.get("valueName") else ""
    return ", ".join(names) + value if names else argument.get("valueName", "")


def options(command):
    shown = [a for a in command.get("arguments", []) if a.get("shouldDisplay", True)]
    section = None
    if shown:
        yield ".Bl -tag -width indent"
    for argument in shown:
        if argument.get("sectionTitle") != section:
            section = argument.get("sectionTitle")
            yield ".El"
            yield f".Ss {words(section or 'Options')}"
            yield ".Bl -tag -width indent"
        yield f".It {words(flags(argument))}"
        said = [argument.get("abstract", ""), argument.get("discussion", "")]
        if argument.get("allValues"):
            said.append("Values: " + ", ".join(argument["allValues"]) + ".")
        if argument.get("defaultValue") and argument["kind"] != "flag":
            said.append(f"Default: {argument['defaultValue']}.")
        yield escaped(" ".join(filter(None, said))) or "\\&"
    if shown:
        yield ".El"


def page(root, version):
    date = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    yield f".Dd {date.strftime('%B')} {date.day}, {date.year}"
    yield ".Dt DDPM 1"
    yield f".Os {words('swift-ddpm ' + version)}"
    yield ".Sh NAME"
    yield ".Nm ddpm"
    yield f".Nd {escaped(root['abstract'])}"
    yield ".Sh SYNOPSIS"
    yield ".Nm"
    yield ".Ar command"
    yield ".Op Ar options"
    yield ".Sh DESCRIPTION"
    yield from paragraphs(root.get("discussion", ""))
    for command in root.get("subcommands", []):
        if command["commandName"] == "help":
            continue
        yield f".Sh {words('ddpm ' + command['commandName'])}"
        yield escaped(command.get("abstract", ""))
        yield ".Pp"
        yield from paragraphs(command.get("discussion", ""))
        yield from options(command)
    yield ".Sh EXIT STATUS"
    yield escaped("0 for success; 64 for a command line that makes no sense; 1 for other errors; 130 or 143 where SIGINT or SIGTERM ended it, "
                  "after saving.")
    yield ".Sh ENVIRONMENT"
    yield ".Bl -tag -width indent"
    yield ".It Ev GOMP_SPINCOUNT"
    yield "How long threads wait with their processor busy; set to 2000 where neither it nor"
    yield ".Ev OMP_WAIT_POLICY"
    yield "is set."
    yield ".It Ev XDG_CACHE_HOME"
    yield "Where timed choices of algorithms are kept, in"
    yield ".Pa swift\\-ddpm ."
    yield ".El"


print("\n".join(page(json.load(sys.stdin)["command"], sys.argv[1])))
