"""What calls and subscriptions need of the stack that they are in."""

from typing import Protocol

from .dialog import Dialog
from .events import Event, TransactionKey
from .flow import Flow
from .message import Request, Response
from .timers import Timers


class Core(Protocol):
    """What a usage needs of its stack."""

    timers: Timers

    def send_request(self, request: Request, flow: Flow, now: float) -> TransactionKey:
        """Start a client transaction."""

    def send_response(self, key: TransactionKey, response: Response, now: float) -> None:
        """Answer in a server transaction."""

    def send_ack(self, request: Request, flow: Flow) -> bytes:
        """Complete and send an ACK to a 2xx; return its bytes."""

    def send_bytes(self, flow: Flow, data: bytes) -> None:
        """Send as it is."""

    def abandon(self, key: TransactionKey, now: float) -> None:
        """Forget a client transaction."""

    def dialog_over(self, dialog: Dialog) -> None:
        """Take the end of a dialog."""

    def emit(self, event: Event) -> None:
        """Report to our user."""

    def count(self, what: str) -> None:
        """Count something that is not an error."""
