"""The base of models that only describe: what a door takes and says, for the OpenAPI document and the tests.

Owns: that they cost nothing before they are asked for. Refuses: to read bodies; what does is ready at the start.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Described(BaseModel):
    """pydantic's validator of it is made at the first use: of all together 2 MB, and 0.1 s of every start."""

    model_config = ConfigDict(defer_build=True)
