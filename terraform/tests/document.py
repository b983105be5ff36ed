#!/usr/bin/env python3
"""Writes the tables of inputs and outputs into the README of each module for AWS, from the text of
variables.tf and outputs.tf. `--check` changes nothing and fails if a README is not up to date.
"""

import pathlib
import re
import sys

TERRAFORM = pathlib.Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- written by terraform/tests/document.py -->", "<!-- end -->"
BLOCK = re.compile(r'^(variable|output) "([^"]+)" \{\n(.*?)^\}', re.M | re.S)


def attribute(body, name):
    """The text of an attribute: up to the next one of the same depth, heredocs as one line."""
    heredoc = re.search(rf"^  {name}\s*= <<-?(\w+)\n(.*?)^\s*\1$", body, re.M | re.S)
    if heredoc:
        return " ".join(heredoc.group(2).split())
    found = re.search(rf"^  {name}\s*= (.*(?:\n(?:    .*|  [}}\])]+))*)", body, re.M)
    return " ".join(found.group(1).split()) if found else None


def cell(text):
    text = text.strip('"').replace('\\"', '"').replace("|", "\\|")
    return re.sub(r"<(\w+)>", r"`<\1>`", text)


def kind(text):
    """A type without what is in an object: that stands in variables.tf."""
    return re.sub(r"object\(.*\)", "object", text or "any") if text else "any"


def tables(module):
    lines = []
    inputs = BLOCK.findall((module / "variables.tf").read_text())
    lines += ["## Inputs", "", "| name | type | default | what |", "|---|---|---|---|"]
    for _, name, body in sorted(inputs, key=lambda one: one[1]):
        default = attribute(body, "default")
        shown = "**required**" if default is None else f"`{default}`"
        what = attribute(body, "description")
        if not what:
            sys.exit(f"{module.name}: variable {name} has no description")
        lines.append(f"| `{name}` | {kind(attribute(body, 'type'))} | {shown} | {cell(what)} |")
    outputs = BLOCK.findall((module / "outputs.tf").read_text())
    lines += ["", "## Outputs", "", "| name | what |", "|---|---|"]
    for _, name, body in sorted(outputs, key=lambda one: one[1]):
        what = attribute(body, "description")
        if not what:
            sys.exit(f"{module.name}: output {name} has no description")
        lines.append(f"| `{name}` | {cell(what)} |")
    return "\n".join(lines)


def main():
    stale = []
    for module in sorted([*TERRAFORM.glob("modules/aws-*"), TERRAFORM / "aws"]):
        readme = module / "README.md"
        text = readme.read_text()
        if BEGIN not in text or END not in text:
            sys.exit(f"{readme}: has no place for the tables: {BEGIN} and {END}")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        new = f"{before}{BEGIN}\n\n{tables(module)}\n\n{END}{after}"
        if new != text:
            stale.append(str(readme.relative_to(TERRAFORM.parent)))
            if "--check" not in sys.argv:
                readme.write_text(new)
    if stale and "--check" in sys.argv:
        sys.exit(f"not up to date, run terraform/tests/document.py: {', '.join(stale)}")


if __name__ == "__main__":
    main()
