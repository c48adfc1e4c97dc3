"""Headstart beside plain public tools, on this machine, in one run; `python -m bench --help`."""
