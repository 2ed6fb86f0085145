"""What was done to a file while it was read, and which of it was inferred."""

from __future__ import annotations


class Notes:
    """Collects words for the description of a data set.

    Attributes
    ----------
    done : list of str
        Everything, in a few words each.
    assumptions : list of str
        What was inferred from the file, a sentence each that begins with the option which decides otherwise.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.assumptions: list[str] = []

    def add(self, done: str, assumed: str = "") -> None:
        """Note what was done and, if it was inferred, the assumption."""
        if done and done not in self.done:
            self.done.append(done)
        if assumed and assumed not in self.assumptions:
            self.assumptions.append(assumed)
