"""What an error is over HTTP: the one table from the error tree to a status, and the body in the form of its door.

Body: `{"success": false, "error": <stable id>, "message": …, "detail": …}`, with `problems` for a document that does
not validate; published doors have forms of their own (`error_forms.py`), and the operators' page a page.
"""

from __future__ import annotations

import logging

from flask import Flask, Response, has_request_context, jsonify, request
from werkzeug.exceptions import HTTPException

from fscontrol import errors
from fscontrol.errors import FscontrolError, TooManyRequests
from fscontrol.http import page_answers
from fscontrol.http.auth import LONGEST_FORM
from fscontrol.http.error_forms import form_for

log = logging.getLogger(__name__)

HTTP_STATUS: dict[type[FscontrolError], int] = {
    errors.FscontrolError: 500,
    errors.ConfigurationError: 500,
    errors.RequestError: 400,
    errors.MalformedBody: 400,
    errors.InvalidDocument: 422,
    errors.InvalidUpdate: 400,
    errors.BodyTooLarge: 413,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.StaleGeneration: 409,
    errors.NameTaken: 400,
    errors.IdempotencyKeyReused: 422,
    errors.AlreadyChanged: 412,
    errors.FormOutOfDate: 400,
    errors.GatewayDoesNotRegister: 409,
    errors.RemovalHeld: 409,
    errors.CallOver: 409,
    errors.BatchOver: 409,
    errors.CallNotAnswered: 409,
    errors.TransferUnderWay: 409,
    errors.TooManyRequests: 429,
    errors.LeaseLost: 503,
    errors.StoreError: 503,
    errors.BackupRefused: 409,
    errors.SecretUnreadable: 503,
    errors.RenderError: 500,
    errors.DeliveryError: 503,
    errors.BackendError: 502,
    errors.BackendUnavailable: 503,
    errors.BackendRefused: 502,
    errors.OutsideError: 502,
    errors.UrlRefused: 422,
    errors.UrlUnavailable: 502,
    errors.MediaError: 500,
    errors.AudioRefused: 422,
    errors.StreamProtocolError: 502,
    errors.StreamUnavailable: 502,
    errors.EslError: 502,
    errors.NodeUnreachable: 503,
    errors.EslTimeout: 503,
    errors.EslAuthRefused: 503,
    errors.EslProtocolError: 502,
    errors.UnsafeArgument: 400,
    errors.CommandRefused: 502,
    errors.CallerGone: 409,
}
_OF_WERKZEUG = {404: errors.NotFound, 405: errors.MethodNotAllowed, 413: errors.BodyTooLarge}


def problem(error: FscontrolError) -> Response:
    """The response for an error of the tree, in the form of the door that was asked."""
    if has_request_context() and page_answers.is_wanted():
        response = page_answers.refusal(error)
    else:
        form = form_for(request.path if has_request_context() else "")
        response = jsonify(form(error))
    response.status_code = HTTP_STATUS[type(error)]
    if isinstance(error, TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after)
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def install(app: Flask) -> None:
    """Answer every error in the one form; what is not of the tree is logged and shown as `internal`."""

    @app.errorhandler(FscontrolError)
    def _ours(error: FscontrolError) -> Response:
        response = problem(error)
        if response.status_code >= 500:
            log.error("request failed", extra={"error": error.id, "reason": str(error)})
        return response

    @app.errorhandler(HTTPException)
    def _werkzeug(error: HTTPException) -> Response:
        kind = _OF_WERKZEUG.get(error.code or 500, errors.RequestError)
        # Bodies of other routes are read by `body`, which names its own limit.
        too_large = f"the form is longer than {LONGEST_FORM} bytes, or has too many fields"
        said = too_large if error.code == 413 else error.description or error.name
        response = problem(kind(said))
        response.status_code = error.code or 500
        if allowed := getattr(error, "valid_methods", None):
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    @app.errorhandler(Exception)
    def _unexpected(error: Exception) -> Response:
        log.exception("request failed", exc_info=error)
        return problem(FscontrolError("internal error; the log of this moment says more"))
