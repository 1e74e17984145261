"""Every error this project raises on purpose, as one tree. Each class has a stable `id` that clients may match on.

FscontrolError                      internal
├── ConfigurationError              configuration          refused to start; `problems` names every contradiction
├── RequestError                    request                what a caller over HTTP did wrong
│   ├── MalformedBody               malformed_body         the body is not the JSON (or the type) that was promised
│   ├── InvalidDocument             invalid_document       the document does not validate; `problems` lists all of it
│   ├── InvalidUpdate               invalid_update         sound by itself, and not with what is stored
│   ├── BodyTooLarge                body_too_large
│   ├── Unauthorized                unauthorized
│   ├── Forbidden                   forbidden              the key is known, and not for this
│   ├── NotFound                    not_found
│   ├── MethodNotAllowed            method_not_allowed
│   ├── StaleGeneration             stale_generation       an older generation than the one stored
│   ├── NameTaken                   name_taken             a name or a number that is there already
│   ├── IdempotencyKeyReused            idempotency_key_reused  the key was sent with another body before
│   ├── AlreadyChanged              already_changed        somebody else changed it since it was read (If-Match)
│   ├── FormOutOfDate               form_out_of_date       a form of the page that was not made for who sends it
│   ├── GatewayDoesNotRegister      gateway_does_not_register  a gateway with register=false was to register
│   ├── RemovalHeld                 removal_held           so much would be removed that it has to be forced
│   ├── CallOver                    call_over              what was asked of a call that has ended
│   ├── BatchOver                   batch_over             what was asked of a batch that is over or being aborted
│   ├── CallNotAnswered             call_not_answered      what only an answered call can do
│   ├── TransferUnderWay            transfer_under_way     a call can be transferred once
│   └── TooManyRequests             too_many_requests      `retry_after` seconds
├── LeaseLost                       lease_lost             another control plane steers the node now, or nobody does yet
├── StoreError                      store                  the store cannot be read or written
│   ├── BackupRefused               backup_refused         a backup that cannot be taken in, or not here
│   └── SecretUnreadable            secret_unreadable      a stored secret does not open with the keys given
├── RenderError                     render                 what was rendered would not be safe or well-formed XML
├── DeliveryError                   delivery               the rendered files could not be written
├── BackendError                    backend                the backend we tell of calls
│   ├── BackendUnavailable          backend_unavailable    no answer: no connection, it broke, or the deadline passed
│   └── BackendRefused              backend_refused        it answered, and not with 2xx; `status` says with what
├── OutsideError                    outside                a URL that somebody named
│   ├── UrlRefused                  url_refused            it leads where we do not go, or holds too much
│   └── UrlUnavailable              url_unavailable        no whole answer came before the deadline
├── MediaError                      media                  the audio between a call and its assistant
│   ├── AudioRefused                audio_refused          what a URL holds is no audio that FreeSWITCH plays
│   ├── StreamProtocolError         stream_protocol        a message of the assistant's that the stream does not know
│   └── StreamUnavailable           stream_unavailable     the assistant's WebSocket cannot be opened or broke
└── EslError                        esl                    the Event Socket
    ├── NodeUnreachable             node_unreachable       no connection, or it was lost
    │   ├── EslTimeout              esl_timeout            no answer before the deadline; the connection is closed
    │   └── EslAuthRefused          esl_auth_refused       wrong ESL password, or our address is not in its ACL
    ├── EslProtocolError            esl_protocol           bytes that are not the Event Socket's framing
    ├── UnsafeArgument              unsafe_argument        a value that would change the meaning of a command
    ├── CommandRefused              command_refused        FreeSWITCH said no
    └── CallerGone                  caller_gone            the caller hung up while the call socket was deciding
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a document: where (a path such as `trunks[0].gateway`) and why, in words for its sender.

    `kind` is pydantic's word for it, which the published API's clients know.
    """

    path: str
    message: str
    kind: str = field(default="value_error", compare=False)


class FscontrolError(Exception):
    """Root of the tree. The message is written for the person who has to act on it and never holds a secret."""

    id: ClassVar[str] = "internal"


class ConfigurationError(FscontrolError):
    """The settings contradict themselves or are unsafe; the process does not start."""

    id = "configuration"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class RequestError(FscontrolError):
    """The caller's request cannot be served as it is."""

    id = "request"


class MalformedBody(RequestError):
    """The body is not JSON, not UTF-8, or not an object."""

    id = "malformed_body"


class InvalidDocument(RequestError):
    """The document was read and does not validate. Nothing was changed."""

    id = "invalid_document"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(f"{count} problem{'' if count == 1 else 's'} in the document; nothing was changed")


class InvalidUpdate(RequestError):
    """An update whose fields are sound, and what would come of it is not. Nothing was changed."""

    id = "invalid_update"


class BodyTooLarge(RequestError):
    """The body is longer than the limit set."""

    id = "body_too_large"


class Unauthorized(RequestError):
    """No key, or a wrong one. The message does not say which."""

    id = "unauthorized"


class Forbidden(RequestError):
    """Whoever asks is known, and his role or his organisation is not enough."""

    id = "forbidden"


class NotFound(RequestError):
    """There is no such thing here."""

    id = "not_found"


class MethodNotAllowed(RequestError):
    """The path exists, the method on it does not."""

    id = "method_not_allowed"


class StaleGeneration(RequestError):
    """A push older than what is stored, or another content under a generation already used."""

    id = "stale_generation"


class NameTaken(RequestError):
    """There is one of that name, id or number already."""

    id = "name_taken"


class IdempotencyKeyReused(RequestError):
    """The same Idempotency-Key with another body: which of the two was meant nobody can say."""

    id = "idempotency_key_reused"


class AlreadyChanged(RequestError):
    """What is to be changed is not any more what the asker saw."""

    id = "already_changed"


class FormOutOfDate(RequestError):
    """A form without the token of the session it is sent with: of an earlier one, or of another site."""

    id = "form_out_of_date"


class GatewayDoesNotRegister(RequestError):
    """The gateway has register=false: there is nothing to register, and asking FreeSWITCH to would leak a lock."""

    id = "gateway_does_not_register"


class RemovalHeld(RequestError):
    """So much of a node would be removed that somebody has to insist; nothing was changed."""

    id = "removal_held"


class BatchOver(RequestError):
    """The batch is over, or is being aborted: it can neither be paused nor resumed."""

    id = "batch_over"


class CallOver(RequestError):
    """The call has ended; nothing can be done to it any more."""

    id = "call_over"


class CallNotAnswered(RequestError):
    """The call has not been answered yet; only ending it is possible."""

    id = "call_not_answered"


class TransferUnderWay(RequestError):
    """The call is being connected to somebody else, or has been; one that comes back can be transferred again."""

    id = "transfer_under_way"


class TooManyRequests(RequestError):
    """Over a limit; try again after `retry_after` seconds."""

    id = "too_many_requests"

    def __init__(self, message: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class LeaseLost(FscontrolError):
    """The node is not ours to change (any more): its lease ran out, or a later holder has it."""

    id = "lease_lost"


class StoreError(FscontrolError):
    """The store cannot be read or written."""

    id = "store"


class BackupRefused(StoreError):
    """A backup that is no whole, unaltered one of a version we know, or a store that is not to be overwritten."""

    id = "backup_refused"


class SecretUnreadable(StoreError):
    """A secret in the store was written under a key that is not among the keys given."""

    id = "secret_unreadable"


class RenderError(FscontrolError):
    """Rendering refused: the value or the result is not safe for FreeSWITCH's preprocessor or not well-formed."""

    id = "render"


class DeliveryError(FscontrolError):
    """The rendered files could not be written where FreeSWITCH reads them."""

    id = "delivery"


class BackendError(FscontrolError):
    """The backend was not told, or did not take it."""

    id = "backend"


class BackendUnavailable(BackendError):
    """No whole answer: no connection, a broken one, or none before the deadline. It may have taken the message."""

    id = "backend_unavailable"


class BackendRefused(BackendError):
    """The backend answered with a status that is not 2xx."""

    id = "backend_refused"

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


class OutsideError(FscontrolError):
    """A URL named from outside could not be used."""

    id = "outside"


class UrlRefused(OutsideError):
    """The URL leads to an address we do not go to, redirects elsewhere, or holds more than is taken."""

    id = "url_refused"


class UrlUnavailable(OutsideError):
    """No whole answer of the URL before the deadline."""

    id = "url_unavailable"


class MediaError(FscontrolError):
    """Something went wrong with a call's audio."""

    id = "media"


class AudioRefused(MediaError):
    """What was fetched is no audio that a stock FreeSWITCH plays."""

    id = "audio_refused"


class StreamProtocolError(MediaError):
    """The assistant sent what is no message of the stream."""

    id = "stream_protocol"


class StreamUnavailable(MediaError):
    """The assistant's WebSocket cannot be opened, or broke."""

    id = "stream_unavailable"


class EslError(FscontrolError):
    """Something went wrong on an Event Socket connection."""

    id = "esl"


class NodeUnreachable(EslError):
    """There is no connection to the node, or it was lost while a command was on its way."""

    id = "node_unreachable"


class EslTimeout(NodeUnreachable):
    """No answer before the deadline. Replies are matched by order, so the connection is closed with it."""

    id = "esl_timeout"


class EslAuthRefused(NodeUnreachable):
    """FreeSWITCH refused the ESL password or the address we come from."""

    id = "esl_auth_refused"


class EslProtocolError(EslError):
    """Bytes that cannot be an Event Socket frame."""

    id = "esl_protocol"


class UnsafeArgument(EslError):
    """A value that would change the meaning of a command; refused before anything is sent."""

    id = "unsafe_argument"


class CommandRefused(EslError):
    """FreeSWITCH answered a command with a refusal, or did not do what it acknowledged."""

    id = "command_refused"


class CallerGone(EslError):
    """The caller hung up while the call socket was still deciding."""

    id = "caller_gone"
