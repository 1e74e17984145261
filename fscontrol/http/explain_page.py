"""The page's form that explains a pasted INVITE, by the function behind `POST /api/explain`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from fscontrol.calls.explain import explain_invite
from fscontrol.calls.finding import WayFinder
from fscontrol.calls.invite_text import LONGEST_INVITE
from fscontrol.errors import InvalidDocument, MalformedBody
from fscontrol.http import page_answers
from fscontrol.http.explain import require_asked
from fscontrol.http.operation import page
from fscontrol.web.call_words import REASONS


def door(ways: WayFinder) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("explain_page", __name__)

    @routes.get("/explain")
    @page("The form that explains an INVITE", everywhere=True)
    def show_form() -> Response:
        return form("", "")

    @routes.post("/explain")
    @page("What would become of an INVITE", everywhere=True)
    def explain() -> Response:
        # A browser sends CRLF for each line end; that is what the bound is for, and what was pasted has one of them.
        invite = request.form.get("invite", "").replace("\r\n", "\n")
        source_ip = request.form.get("source_ip", "").strip()
        try:
            require_asked(invite, source_ip)
            return form(invite, source_ip, found=explain_invite(ways, invite, source_ip))
        except InvalidDocument as refused:
            problems = {problem.path: problem.message for problem in refused.problems}
        except MalformedBody as refused:
            problems = {"invite": str(refused)}
        answer = form(invite[:LONGEST_INVITE], source_ip, problems=problems)
        answer.status_code = 400
        return answer

    def form(
        invite: str,
        source_ip: str,
        *,
        found: dict[str, Any] | None = None,
        problems: dict[str, str] | None = None,
    ) -> Response:
        return page_answers.page(
            "explain.html",
            invite=invite,
            source_ip=source_ip,
            found=found,
            problems=problems or {},
            advice=REASONS.get(found["reason"]) if found else None,
            longest=LONGEST_INVITE,
        )

    return routes
