"""Why a request gets no answer."""

from __future__ import annotations


class Refusal(ValueError):  # noqa: N818 (nothing went wrong)
    """A request that is not answered, and what the person is told.

    Args:
        status: Of HTTP, 400 to 503.
        text: For a person.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
