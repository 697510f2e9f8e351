"""Reads what a form sends."""

from starlette.requests import Request

from gainsight_destination.errors import UserError


class Form:
    """The fields of a form as texts, without blanks around them."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def text(self, name: str, default: str = "") -> str:
        """The last value of a field."""
        return next((value.strip() for key, value in reversed(self._fields) if key == name), default)

    def raw(self, name: str) -> str:
        """A value as it was typed: a password may have blanks."""
        return next((value for key, value in reversed(self._fields) if key == name), "")

    def texts(self, name: str) -> list[str]:
        """All values of a field."""
        return [value.strip() for key, value in self._fields if key == name and value.strip()]

    def lines(self, name: str) -> list[str]:
        """The lines of a text area that say something."""
        return [line.strip() for line in self.raw(name).splitlines() if line.strip()]

    def checked(self, name: str) -> bool:
        return bool(self.text(name))

    def whole(self, name: str) -> int | None:
        """A whole number; None when nothing was entered. Raises UserError."""
        text = self.text(name).replace(",", "")
        if not text:
            return None
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise UserError(f"{name} must be a whole number")
        return int(text)

    @property
    def version(self) -> int | None:
        """The version of the workspace that the form was made from."""
        return self.whole("version")


async def form_of(request: Request) -> Form:
    """The form of this request. Files are left out: no form of ours has one."""
    sent = await request.form(max_files=0, max_fields=2_000)
    return Form([(name, value) for name, value in sent.multi_items() if isinstance(value, str)])
