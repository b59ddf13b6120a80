"""How often and how long a server that does not answer is asked again."""

from __future__ import annotations

from dataclasses import dataclass

from urllib3.util.retry import Retry

#: Answers after which the same request may do better: too many requests, a server's own
#: trouble, and 403, which object stores answer to an expired signature and under load.
PASSING = (403, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounds of trying again.

    Attributes
    ----------
    attempts
        How often one thing is tried at most.
    pause
        Seconds before the second attempt; they double with each, and are drawn at random
        below that, so that many clients do not come back at once.
    longest
        Seconds no pause exceeds.
    timeout
        Seconds without a byte after which a connection is given up.
    """

    attempts: int = 5
    pause: float = 1.0
    longest: float = 60.0
    timeout: float = 30.0

    def retry(self) -> Retry:
        """Return the same as urllib3 has it, for requests."""
        return Retry(
            total=self.attempts - 1,
            connect=1,  # where there is no network at all, waiting does not help
            backoff_factor=self.pause,
            backoff_max=self.longest,
            backoff_jitter=self.pause,
            status_forcelist=PASSING,
            allowed_methods=None,
        )
