"""Every error that Headstart raises on purpose.

    HeadstartError
    ├── UsageError            an option or argument that cannot be
    │   └── MissingExtra      a package that an optional feature needs is not installed
    ├── DataError             the data set cannot be used as it is
    │   ├── Unreadable        one example cannot be decoded (it goes to quarantine)
    │   └── TooFewExamples    too little of something: examples, classes, examples of a class
    ├── ModelError            a pretrained model cannot be used
    │   ├── ModelNotFound     there is no such model, or it cannot be had offline
    │   └── UnsafeWeights     only pickled weights, or code that would have to be run
    ├── RunError              a RUN folder cannot be written, read or continued
    │   └── AlreadyOpened     somebody opened the sealed test labels a second time
    └── PluginClash           two plug-ins claim one name

The command line turns each of them into one line and exit code 2. A message says who, what was
expected, what was got, and the next step.
"""

from __future__ import annotations


class HeadstartError(Exception):
    """Root of the tree: something the person can mend."""


class UsageError(HeadstartError):
    """An option or argument that cannot be."""


class MissingExtra(UsageError):
    """A package that an optional feature needs is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is missing; run: pip install 'headstart[{extra}]'")


class DataError(HeadstartError):
    """The data set cannot be used as it is."""


class Unreadable(DataError):
    """One example cannot be decoded; the message is the reason that quarantine.csv shows."""


class TooFewExamples(DataError):
    """Too little of something: examples, classes, or examples of one class."""


class ModelError(HeadstartError):
    """A pretrained model cannot be used."""


class ModelNotFound(ModelError):
    """There is no such model, or it cannot be had offline."""


class UnsafeWeights(ModelError):
    """The weights are pickled, or the folder wants its own code to be run."""


class RunError(HeadstartError):
    """A RUN folder cannot be written, read or continued."""


class AlreadyOpened(RunError):
    """Somebody opened the sealed test labels a second time: a bug, not a user's mistake."""


class PluginClash(HeadstartError):
    """Two plug-ins claim one name."""


class HeadstartWarning(UserWarning):
    """Something a person should know, that stops nothing."""
