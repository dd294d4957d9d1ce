"""The offline voice: a TTS that sounds the audible code, an STT that reads it, an LLM that echoes. No key, no model.

They stand behind the interfaces that any model of livekit-agents stands behind, so the way of the words is the real one:
LLM, TTS, Opus, server, Opus, STT, LLM.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions, llm, stt, tts, utils
from livekit.agents.language import LanguageCode
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from lkdoctor.worker import code
from lkdoctor.worker.settings import ECHO

logger = logging.getLogger("lkdoctor.worker")


class OfflineTTS(tts.TTS[Any]):
    """Sounds a whole answer as one text of the audible code."""

    def __init__(self) -> None:
        # "streaming": else the SDK cuts the answer into sentences and changes its blanks.
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=code.SAMPLE_RATE, num_channels=1)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> tts.SynthesizeStream:
        return _Sounding(tts=self, conn_options=conn_options)


class _Sounding(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid("offline_"),
            sample_rate=code.SAMPLE_RATE,
            num_channels=1,
            mime_type="audio/pcm",
            stream=True,
        )
        text = ""
        async for piece in self._input_ch:
            if isinstance(piece, str):
                text += piece
            else:
                self._sound(text, output_emitter)
                text = ""
        self._sound(text, output_emitter)

    def _sound(self, text: str, emitter: tts.AudioEmitter) -> None:
        if text.strip():
            self._mark_started()
            emitter.start_segment(segment_id=utils.shortuuid("text_"))
            emitter.push(code.encode(text).tobytes())
            emitter.end_segment()


class OfflineSTT(stt.STT[Any]):
    """Reads the audible code: a final transcript is what was said, exactly, or does not come."""

    def __init__(self, *, streaming: bool = True) -> None:
        """`streaming` False: for whole utterances, which the SDK cuts out by voice detection."""
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=streaming, interim_results=False, offline_recognize=not streaming
            )
        )

    async def _recognize_impl(self, buffer: utils.AudioBuffer, *_: Any, **__: Any) -> stt.SpeechEvent:
        frame = rtc.combine_audio_frames(buffer)
        samples = np.frombuffer(frame.data, np.int16)[:: frame.num_channels]
        heard = [one.text for one in code.Decoder().push(samples) if one.what == "text"]
        said = [stt.SpeechData(language=LanguageCode("en"), text=" ".join(heard), confidence=1.0)] if heard else []
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=said)

    def stream(
        self, *, language: Any = None, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> stt.RecognizeStream:
        del language  # the code knows none
        return _Listening(stt=self, conn_options=conn_options, sample_rate=code.SAMPLE_RATE)


class _Listening(stt.RecognizeStream):
    async def _run(self) -> None:
        decoder = code.Decoder()
        speaking = False
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            samples = np.frombuffer(frame.data, np.int16)
            for heard in decoder.push(samples[:: frame.num_channels]):
                if heard.what == "began":
                    if not speaking:
                        self._tell(stt.SpeechEventType.START_OF_SPEECH)
                    speaking = True
                    continue
                speaking = False
                if heard.what == "text":
                    self._tell(stt.SpeechEventType.FINAL_TRANSCRIPT, heard.text)
                else:
                    logger.info("[LOST] words did not arrive whole: %s chords came", heard.chords)
                self._tell(stt.SpeechEventType.END_OF_SPEECH)

    def _tell(self, what: stt.SpeechEventType, text: str = "") -> None:
        said = [stt.SpeechData(language=LanguageCode("en"), text=text, confidence=1.0)] if text else []
        self._event_ch.send_nowait(stt.SpeechEvent(type=what, alternatives=said))


class EchoLLM(llm.LLM[Any]):
    """Answers with "R:" and the last thing that was said to it: the other side learns what arrived."""

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        return _Echoing(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Echoing(llm.LLMStream):
    async def _run(self) -> None:
        said = [item.text_content or "" for item in self._chat_ctx.messages() if item.role == "user"]
        if said:
            answer = llm.ChoiceDelta(role="assistant", content=ECHO + said[-1])
            self._event_ch.send_nowait(llm.ChatChunk(id=utils.shortuuid("echo_"), delta=answer))
