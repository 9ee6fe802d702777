"""What is a module of a frappy node? Found by its name in the node's configuration."""

from __future__ import annotations

from frappy.core import Command, Module, Parameter, StringType


class Echo(Module):
    """Sends a word back."""

    value = Parameter("last", StringType(), default="", readonly=False)

    @Command(argument=StringType(), result=StringType())
    def echo(self, text: str) -> str:
        """Return the argument."""
        return text
