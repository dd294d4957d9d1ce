"""What became of who joined: connected, published, thrown out, gone."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from lkdoctor.dispatch import rules
from lkdoctor.dispatch.facts import Event, Fields, What
from lkdoctor.dispatch.lobby import Lobby
from lkdoctor.dispatch.model import AgentParticipant
from lkdoctor.dispatch.nodes import Handler, Nodes


class Presence:
    """The participants of the lobby's rooms, from their join on."""

    def __init__(self, nodes: Nodes, lobby: Lobby) -> None:
        self.nodes = nodes
        self.lobby = lobby

    def handlers(self) -> Mapping[What, Handler]:
        """Which method takes which event."""
        return {
            What.PARTICIPANT_ACTIVE: self._participant_active,
            What.PARTICIPANT_CLOSING: self._participant_closing,
            What.DUPLICATE_REMOVED: self._duplicate_removed,
            What.NEVER_CONNECTED: self._never_connected,
            What.TRACK_PUBLISHED: self._track_published,
        }

    def _participant(self, event: Event, fields: Fields) -> AgentParticipant | None:
        """The participant of a line, newest session first; made when it joined before the evidence."""
        if not fields.roomID and not fields.room_name:
            return None
        room = self.lobby.room(event, fields)
        sid = fields.participant_sid
        known = self.lobby.by_sid.get(sid)
        if known is not None:
            return known
        for one in chain(reversed(room.agents), reversed(room.people)):
            if one.identity == fields.participant and not (sid and one.sid):
                return one
        is_agent = fields.kind.upper() == "AGENT" or fields.participant.startswith("agent-AJ_")
        person = AgentParticipant(fields.participant, sid, is_agent, is_agent, proof=[event.place])
        (room.agents if is_agent else room.people).append(person)
        if sid:
            self.lobby.by_sid[sid] = person
        return person

    def _participant_active(self, event: Event, fields: Fields) -> None:
        person = self._participant(event, fields)
        if person is not None and person.active_at is None:
            person.active_at = event.at
            if person.is_agent:
                person.proof.append(event.place)

    def _participant_closing(self, event: Event, fields: Fields) -> None:
        person = self._participant(event, fields)
        if person is not None:
            person.left_at = event.at
            person.leave_reason = self.nodes.same(fields.reason)
            person.proof.append(event.place)

    def _duplicate_removed(self, event: Event, fields: Fields) -> None:
        person = self._participant(event, fields)
        if person is not None:
            person.duplicate_removed = True
            person.proof.append(event.place)

    def _never_connected(self, event: Event, fields: Fields) -> None:
        person = self._participant(event, fields)
        if person is not None:
            person.never_connected = True
            person.proof.append(event.place)

    def _track_published(self, event: Event, fields: Fields) -> None:
        person = self._participant(event, fields)
        if person is None or person.published_at is not None:
            return
        person.published_at = event.at
        if person.dependent:
            return
        for dispatch in self.lobby.room(event, fields).dispatches:
            if rules.JT_PUBLISHER in self.nodes.types.get(dispatch.agent_name, ()):
                self.lobby.launch(dispatch, rules.JT_PUBLISHER, event.at, event.stream, person.identity)
