"""The tables of `lkdoctor.toml`: the one definition, of which the reader and the published schema are made."""

from __future__ import annotations

import datetime as dt
import json
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

FILE: Final = "lkdoctor.toml"
SCHEMA_ID: Final = "lkdoctor.config/v1"

Way = Literal["token", "api", "sip", "automatic"]
Load = Annotated[float, Meta(ge=0)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A table of the file; a key that it does not have is refused."""


class Server(Table, frozen=True):
    """`[server]`: the LiveKit server that the agents register with."""

    url: Annotated[
        str,
        Meta(
            description="Its address, `ws://` or `wss://`. Nothing is asked because of it. Of LiveKit Cloud (`*.livekit.cloud`) "
            "only names are foreseen: its dispatcher is another one."
        ),
    ] = ""
    version: Annotated[
        str,
        Meta(
            description="livekit-server's version, for example `1.13.5`; its rules are used for what is predicted.",
            pattern=r"^(v?\d+\.\d+\.\d+.*)?$",
        ),
    ] = ""
    target_load: Annotated[
        Load | None, Meta(description="`agents.target_load` where livekit.yaml is not beside this file.")
    ] = None


class Agent(Table, frozen=True):
    """`[[agents]]`: one agent name, who serves it, and who asks for it."""

    name: Annotated[str, Meta(description='The agent name, letter for letter; `""` is an agent without a name.')]
    type: Annotated[
        Literal["room", "participant", "publisher"],
        Meta(description="What its workers register for: one job a room, a participant, or a publishing participant."),
    ] = "room"
    workers: Annotated[
        int | None,
        Meta(
            description="How many workers serve the name at once. Not said: one or more, and the number is not judged."
        ),
    ] = None
    deployment: Annotated[
        str,
        Meta(description="The deployment that both its workers and its dispatches name (LIVEKIT_AGENT_DEPLOYMENT)."),
    ] = ""
    dispatched_by: Annotated[
        Way | tuple[Way, ...],
        Meta(
            description="Who asks for it: `token` (roomConfig.agents), `api` (CreateDispatch, or CreateRoom's agents), "
            "`sip` (a SIP dispatch rule's roomConfig.agents), `automatic` (nobody: the agent has no name)."
        ),
    ] = ()
    service: Annotated[
        str, Meta(description="The Compose service that runs its workers, where the names alone do not tell.")
    ] = ""
    identity: Annotated[
        str, Meta(description="The participant identity that the application looks for; `*` stands for any letters.")
    ] = ""
    participant_name: Annotated[
        str, Meta(description="The participant's display name that the application looks for; `*` as above.")
    ] = ""
    kind: Annotated[
        Literal["agent", "standard", ""], Meta(description="The kind of participant that the application looks for.")
    ] = ""
    hidden: Annotated[bool | None, Meta(description="Whether its participant is hidden from the others.")] = None
    load_threshold: Annotated[
        Load | None, Meta(description="The worker's own load threshold, where the program sets one (`inf` for none).")
    ] = None
    load: Annotated[
        float | None, Meta(description="What the worker's load function returns, where that is one constant value.")
    ] = None

    @property
    def ways(self) -> tuple[Way, ...]:
        """`dispatched_by` as a tuple, each way once."""
        given = (self.dispatched_by,) if isinstance(self.dispatched_by, str) else self.dispatched_by
        return tuple(dict.fromkeys(given))


class Room(Table, frozen=True):
    """`[[rooms]]`: a room or a family of rooms, how it is made, and which agents belong into it together."""

    name: Annotated[str, Meta(description="A room with a fixed name, used again and again.")] = ""
    pattern: Annotated[str, Meta(description="Rooms with a new name each; `*` stands for what changes: `call-*`.")] = ""
    agents: Annotated[tuple[str, ...], Meta(description="The agents that belong into the room together, by name.")] = ()
    roles: Annotated[
        dict[str, str],
        Meta(description="Role to agent name, where one agent comes more than once and learns its role by metadata."),
    ] = {}
    made_by: Annotated[
        Literal["join", "create-room", "dispatch"],
        Meta(description="What makes the room: the first join, a CreateRoom call before it, or CreateDispatch."),
    ] = "join"
    people: Annotated[
        bool, Meta(description="Whether a person joins it; without one only `room` agents get a job.")
    ] = True
    talk: Annotated[bool, Meta(description="Whether its agents talk to each other, and not only to people.")] = False

    @property
    def expected(self) -> tuple[str, ...]:
        """The agent names in the room; one with two roles stands twice."""
        return (*self.agents, *self.roles.values())


class Ignore(Table, frozen=True):
    """`[[ignore]]`: findings that are known and accepted; they stay in the report, counted as suppressed."""

    code: Annotated[str, Meta(description="The code (`LKD203`), its name, or a family (`LKD2xx`).", min_length=1)]
    reason: Annotated[str, Meta(description="Why this is accepted; it stands in the report.", min_length=1)]
    until: Annotated[dt.date | None, Meta(description="The last day on which it is ignored: `2027-01-31`.")] = None
    subject: Annotated[
        str, Meta(description="Only the finding with this subject (`kind:id` as in the report); `*` for any letters.")
    ] = ""
    room: Annotated[str, Meta(description="Only findings about this room; `*` stands for any letters.")] = ""
    agent: Annotated[str | None, Meta(description='Only findings about this agent name; `""` is the unnamed one.')] = (
        None
    )


class Marker(Table, frozen=True):
    """`[[markers]]`: a line that the application prints, and what it stands for."""

    name: Annotated[
        str, Meta(description="What the line means, in a few words: `driver session started`.", min_length=1)
    ]
    regex: Annotated[str, Meta(description="A regular expression that is found in the line (Python's).", min_length=1)]


class Config(Table, frozen=True):
    """The whole file."""

    server: Annotated[Server, Meta(description="The LiveKit server.")] = Server()
    agents: Annotated[tuple[Agent, ...], Meta(description="Every agent name of the project.")] = ()
    rooms: Annotated[tuple[Room, ...], Meta(description="Which agents belong into which rooms.")] = ()
    ignore: Annotated[tuple[Ignore, ...], Meta(description="Findings that are accepted.")] = ()
    markers: Annotated[tuple[Marker, ...], Meta(description="Lines of the application's own log.")] = ()


def schema() -> bytes:
    """The JSON schema of the file, as it is published (editors take it for TOML too)."""
    (made,), parts = msgspec.json.schema_components([Config], ref_template="#/$defs/{name}")
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": FILE,
        **parts.pop(str(made["$ref"]).rsplit("/", 1)[-1]),
        "$defs": parts,
    }
    whole["title"] = FILE
    return (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode()
