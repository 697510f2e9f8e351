"""A destination's token: got before the first call, and again before it ends or when it is refused.

Kept in memory only: a start gets a new one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from gainsight_destination.clock import Clock
from gainsight_destination.destinations.contract import Answer, Call, Token, TokenGrant

RENEW_SECONDS: Final = 300.0
"""So long before its end a token is replaced; one that is good for less than twice that, at half of its time."""
TRUSTED_SECONDS: Final = 10.0
"""A token that is refused within so long was refused for another reason than its age."""

Send = Callable[[Call], Awaitable[Answer]]


class TokenKeeper:
    """Holds the token of one destination."""

    def __init__(self, grant: TokenGrant, clock: Clock, send: Send) -> None:
        self._grant = grant
        self._clock = clock
        self._send = send
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._since_ms = 0

    async def token(self) -> Token:
        """One that is good now. Raises as a call does, and the call error of an answer without a token."""
        async with self._lock:
            if self._token is None or self._clock.now_ms() >= self._renew_at_ms(self._token):
                self._token = None
                self._since_ms = self._clock.now_ms()
                self._token = self._grant.read(await self._send(self._grant.request()))
            return self._token

    def _renew_at_ms(self, token: Token) -> int:
        return self._since_ms + round((token.seconds - min(RENEW_SECONDS, token.seconds / 2)) * 1000)

    def drop_refused(self, token: Token, answer: Answer) -> bool:
        """Whether the answer refuses the token and another may be taken: it is old enough, or was replaced already."""
        if not self._grant.refused(answer):
            return False
        if token is self._token:
            if self._clock.now_ms() - self._since_ms < TRUSTED_SECONDS * 1000:
                return False
            self._token = None
        return True
