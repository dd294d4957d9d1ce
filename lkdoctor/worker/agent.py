"""The template: a LiveKit agent that answers requests at once, takes its role from metadata, and hears other agents.

Copy this file and `server.py`; what is specific to lkdoctor's conversations is in `talk.py` and `settings.py`. It was run
with livekit-agents 1.8.9 on livekit-server 1.13.5.
"""

from __future__ import annotations

import asyncio
import os

from livekit import api, rtc
from livekit.agents import Agent, AgentSession, AutoSubscribe, JobContext, JobRequest, room_io

from lkdoctor.worker import models
from lkdoctor.worker.markers import Markers, logger
from lkdoctor.worker.settings import MetadataError, Part, Settings, parts
from lkdoctor.worker.talk import ROLE, PartnerMissingError, Talk, partner_in


async def on_request(settings: Settings, request: JobRequest) -> None:
    """Answers the server's question "do you take this job?".

    The server waits 3 s for all answers together, so nothing slow happens here: models load in the entrypoint.
    """
    try:
        part = parts(request.job.metadata, settings.role)[0]
    except MetadataError as error:
        logger.warning("[FAIL] %s declined: %s", request.id, error, extra={"marker": "FAIL", "job_id": request.id})
        # terminate=False lets the server ask another worker; the default, True, ends the job as a success.
        await request.reject(terminate=False)
        return
    # Two participants of one identity throw each other out, so the identity holds the job's id.
    await request.accept(identity=f"{part.role}-{request.id}", name=part.role, attributes={ROLE: part.role})


async def entrypoint(settings: Settings, job: JobContext) -> None:
    """One job: joins the room, talks, leaves. Nothing here depends on who else is in the room, or on a lock file."""
    cast = parts(job.job.metadata, settings.role)
    marks = [Markers(job.job.id, job.job.room.name, part.role, f"{part.role}-{job.job.id}") for part in cast]
    for part, mark in zip(cast, marks, strict=True):
        mark("START", f"job of dispatch {job.job.dispatch_id or '(implicit)'} in room {job.job.room.name}")
        mark(
            "ROLE",
            f"{part.role}, talks with {part.partner or 'a person'}, {'speaks' if part.first else 'listens'} first",
        )
    # First connect, then start sessions: a session that is told its partner's identity needs the room at once.
    await job.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
    others: list[rtc.Room] = []
    over = asyncio.Event()  # one conversation a job: when one side has ended, so has the other
    try:
        # One participant is one voice. A second agent needs a connection and an identity of its own: two sessions on
        # job.room would be one participant with two tracks, and neither would hear the other.
        rooms = [job.room]
        for part, mark in zip(cast[1:], marks[1:], strict=True):
            others.append(await second_connection(job, part, mark))
            rooms.append(others[-1])
        await asyncio.gather(
            *(take_part(settings, part, mark, room, over) for part, mark, room in zip(cast, marks, rooms, strict=True))
        )
    finally:
        for room in others:
            await room.disconnect()
        # Leaves the room and frees the process. Without it the participant would stay, silent and deaf.
        job.shutdown("the conversation is over")


async def second_connection(job: JobContext, part: Part, mark: Markers) -> rtc.Room:
    """Another agent participant in the job's room; the SDK has put the worker's URL, key and secret into the environment."""
    grants = api.VideoGrants(room_join=True, room=job.job.room.name, can_update_own_metadata=True)
    token = api.AccessToken().with_identity(mark.identity).with_name(part.role).with_kind("agent")
    signed = token.with_grants(grants).with_attributes({ROLE: part.role}).to_jwt()
    room = rtc.Room()
    await room.connect(os.environ["LIVEKIT_URL"], signed)
    return room


async def take_part(settings: Settings, part: Part, mark: Markers, room: rtc.Room, over: asyncio.Event) -> None:
    """One agent in one room, from finding its partner to the end of the conversation."""
    options = room_io.RoomOptions()
    if part.partner:
        try:
            partner = await partner_in(room, part.partner, settings.partner_seconds)
        except PartnerMissingError as error:
            mark("FAIL", str(error), reason="partner-missing")
            return
        # By default a session listens to persons only: two agents would both stay silent. The kind filter holds for a
        # named identity, too.
        options.participant_kinds = [rtc.ParticipantKind.PARTICIPANT_KIND_AGENT]
        options.participant_identity = partner.identity
    if settings.offline:
        options.audio_input = room_io.AudioInputOptions(pre_connect_audio=False, auto_gain_control=False)
        options.text_output = room_io.TextOutputOptions(sync_transcription=False)
    session: AgentSession[None] = AgentSession(**models.session_arguments(settings, part))
    talk = Talk(session, part, settings, mark, over)
    talk.listen()
    await session.start(
        Agent(instructions=part.instructions or f"You are the {part.role}. Be brief."),
        room=room,
        room_options=options,
        record=False,
    )
    mark("OK", f"session started, listens to {options.participant_identity or 'the first person'}")
    try:
        await talk.run()
    finally:
        over.set()
        await session.aclose()
