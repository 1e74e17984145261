"""A batch as it is sent and as it is shown; and its rows read, all problems at once, without holding up the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import gevent
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fscontrol.calls.batch_run import BREATH_SECONDS
from fscontrol.calls.ordering import Wanted, order
from fscontrol.errors import InvalidDocument, Problem, RequestError
from fscontrol.http.answers import Page, Seconds
from fscontrol.http.calls import NewCall
from fscontrol.model.batch import (
    DEFAULT_CONCURRENT,
    DEFAULT_PER_SECOND,
    LEAST_PER_SECOND,
    MOST_CONCURRENT,
    MOST_PER_SECOND,
    MOST_ROWS,
    Batch,
    BatchState,
    Counts,
)
from fscontrol.model.findings import problems_of
from fscontrol.model.organization import Organization
from fscontrol.model.outbound import OutboundRequest
from fscontrol.model.trunk import refuse_control_characters

_ROWS_A_SLICE = 50


class NewBatch(BaseModel):
    """Calls to be placed. `from_number` is for rows that name none."""

    model_config = ConfigDict(
        extra="ignore",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "name": "Spring", "max_concurrent": 20, "calls_per_second": 2,
                    "from_number": "+15551230001", "rows": [{"to_number": "+15559876543"}],
                }
            ]
        },
    )  # fmt: skip

    name: Annotated[str, Field(max_length=200)] = ""
    from_number: Annotated[str, Field(max_length=64)] = ""
    max_concurrent: Annotated[int, Field(ge=1, le=MOST_CONCURRENT)] = DEFAULT_CONCURRENT
    calls_per_second: Annotated[float, Field(ge=LEAST_PER_SECOND, le=MOST_PER_SECOND)] = DEFAULT_PER_SECOND
    rows: Annotated[list[NewCall], Field(min_length=1, max_length=MOST_ROWS)]


class _Settings(NewBatch):
    """Everything but the rows, which are read one by one."""

    rows: list[NewCall] = []


class BatchShown(BaseModel):
    """A batch in a list."""

    id: str
    name: str
    organization_id: str
    state: BatchState
    created_at: Seconds
    ended_at: Seconds | None
    rows: int
    max_concurrent: int
    calls_per_second: float


class BatchProgress(BatchShown):
    """How far it is."""

    waiting: int
    in_progress: int
    done: int
    by_status: dict[str, int] = Field(description="Rows that are done, by the status their call ended with.")
    per_minute: float | None = Field(description="Rows done in the last minute.")
    seconds_left: float | None = Field(description="Estimate at this pace.")
    waits_for: str = Field(description="Why rows find no room now; empty while they do.")


class BatchPage(Page[BatchShown]):
    """Batches, newest first."""


def shown(batch: Batch) -> BatchShown:
    """A batch as it may be seen."""
    told = batch.model_dump(include=set(BatchShown.model_fields))
    return BatchShown(**told, organization_id=batch.organization)


def progress(batch: Batch, counts: Counts) -> BatchProgress:
    """The same with how far it is."""
    left = counts.waiting + counts.placing
    is_running = batch.state is BatchState.RUNNING
    pace = batch.per_minute if is_running else None
    return BatchProgress(
        **shown(batch).model_dump(),
        waiting=counts.waiting,
        in_progress=counts.placing,
        done=counts.done,
        by_status=counts.by_status,
        per_minute=pace,
        seconds_left=round(left * 60 / pace, 1) if pace and left else None,
        waits_for=batch.waits_for if is_running and counts.waiting else "",
    )


def settings_of(given: Mapping[str, Any], organization: str) -> Batch:
    """The batch without its rows; raises `InvalidDocument`."""
    try:
        read = _Settings.model_validate({name: value for name, value in given.items() if name != "rows"})
        name = refuse_control_characters(read.name)
    except ValidationError as error:
        raise InvalidDocument(problems_of(error)) from None
    except ValueError as error:
        raise InvalidDocument([Problem("name", str(error))]) from None
    pace = {"max_concurrent": read.max_concurrent, "calls_per_second": read.calls_per_second}
    return Batch(id="", organization=organization, name=name, **pace)


def requests_of(
    organization: Organization,
    rows: Iterable[tuple[str, object]],
    from_number: str = "",
    pause: Callable[[], object] = lambda: gevent.sleep(BREATH_SECONDS),
) -> list[OutboundRequest]:
    """What the rows ask for. Raises `InvalidDocument` with whatever is wrong with any of them, by its place.

    A row may be a `Problem` already: what could not even be read as one.
    """
    numbers = {number.phone_number: number for number in organization.phone_numbers}
    found: list[OutboundRequest] = []
    problems: list[Problem] = []
    for count, (place, given) in enumerate(rows, 1):
        if count > MOST_ROWS:
            problems.append(Problem("rows", f"must be at most {MOST_ROWS}"))
            break
        if count % _ROWS_A_SLICE == 0:
            pause()
        if isinstance(given, Problem):
            problems.append(given)
            continue
        try:
            read = NewCall.model_validate(given)
            wanted = Wanted(**{**read.model_dump(), "from_number": read.from_number or from_number})
            if not wanted.from_number:
                problems.append(Problem(f"{place}.from_number", "is required"))
            else:
                found.append(order(organization, wanted, numbers))
        except ValidationError as error:
            problems += problems_of(error, place)
        except InvalidDocument as error:
            problems += [Problem(f"{place}.{one.path}", one.message) for one in error.problems]
        except RequestError as error:
            problems.append(Problem(place, str(error)))
    if not found and not problems:
        problems.append(Problem("rows", "there are none"))
    if problems:
        raise InvalidDocument(problems)
    return found
