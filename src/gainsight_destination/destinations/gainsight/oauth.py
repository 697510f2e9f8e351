"""Gainsight's machine-to-machine OAuth: clientId and clientSecret are changed for a Bearer token, good for a day.

Where it comes from: Gainsight's page "OAuth for Gainsight APIs". Whether a token counts in the tenant's quota is not
published; we count it in our share.
"""

import base64
from collections.abc import Mapping
from typing import Final

from gainsight_destination.destinations.contract import (
    Answer,
    AuthenticationError,
    BatchRejectedError,
    Call,
    MisconfiguredError,
    Token,
    TransientError,
)
from gainsight_destination.destinations.gainsight.responses import is_refused_credential, read_answer

TOKEN_PATH: Final = "/v1/users/m2m/oauth/token"  # noqa: S105 - a path
USUAL_SECONDS: Final = 3_600
"""How long a token is thought to be good when the answer does not say; Gainsight's says a day."""


class OAuthGrant:
    """Implements `TokenGrant` with the client credentials of one tenant."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()

    def request(self) -> Call:
        headers = (
            ("Authorization", f"Basic {self._basic}"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        )
        return Call("POST", TOKEN_PATH, content=b"grant_type=client_credentials", headers=headers)

    def read(self, answer: Answer) -> Token:
        call = self.request()._replace(headers=(), content=None)  # goes into errors: without the credentials
        body = answer.body if isinstance(answer.body, Mapping) else {}
        token = body.get("access_token")
        if answer.status == 200 and isinstance(token, str) and token:
            said = body.get("expires_in")
            seconds = said if isinstance(said, int) and said > 0 else USUAL_SECONDS
            return Token((("Authorization", f"Bearer {token}"),), seconds)
        try:
            read_answer(call, answer)
        except (AuthenticationError, BatchRejectedError) as error:
            if is_refused_credential(answer) or isinstance(error, BatchRejectedError):
                raise AuthenticationError(
                    f"Gainsight gives no OAuth token for this clientId and clientSecret ({error})", call, answer
                ) from error
            raise
        except MisconfiguredError as error:
            raise AuthenticationError(
                f"this domain gives no OAuth tokens ({error}); correct domain, or use accessKey", call, answer
            ) from error
        raise TransientError("Gainsight's answer has no OAuth token in it", call, answer)

    def refused(self, answer: Answer) -> bool:
        return is_refused_credential(answer)
