// The lines of `lkdoctor worker` that matter, for @livekit/agents 1.9.0 (Node); what each is for: docs/worker.md.
// Run: LIVEKIT_URL=… LIVEKIT_API_KEY=… LIVEKIT_API_SECRET=… node worker-twin.mjs start
import { cli, defineAgent, ServerOptions, voice } from '@livekit/agents';
import { ParticipantKind, RoomEvent } from '@livekit/rtc-node';
import { fileURLToPath } from 'node:url';

const ROLE = 'lkdoctor.role'; // the participant attribute that tells an agent's role to the others
const NAME = process.env.AGENT_NAME ?? 'front-desk'; // one name per deployment, shared by its replicas

// {"role": "customer", "partner": "support", "first": true}; never guess a role from who is in the room.
const partOf = (job) => {
  try {
    return JSON.parse(job.metadata || '{}') ?? {};
  } catch {
    return {};
  }
};

const mark = (what, ctx, part, words) => console.log(`[${what}] ${ctx.job.id} ${part.role}: ${words}`);

// ctx.waitForParticipant() passes agents over, so the partner is found by kind and role.
const partnerIn = (room, role, seconds) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no agent of the role ${role} within ${seconds} s`)), seconds * 1000);
    const look = () => {
      for (const one of room.remoteParticipants.values()) {
        if (one.info.kind === ParticipantKind.AGENT && one.attributes[ROLE] === role) {
          clearTimeout(timer);
          room.off(RoomEvent.ParticipantConnected, look);
          resolve(one);
        }
      }
    };
    room.on(RoomEvent.ParticipantConnected, look);
    look();
  });

export default defineAgent({
  entry: async (ctx) => {
    const part = partOf(ctx.job);
    mark('START', ctx, part, `room ${ctx.job.room.name}`);
    await ctx.connect(); // before any session.start
    const partner = await partnerIn(ctx.room, part.partner, 30);
    const session = new voice.AgentSession({ /* stt, llm, tts */ });
    session.on(voice.AgentSessionEventTypes.UserInputTranscribed, (event) => {
      if (event.isFinal) mark('HEARD', ctx, part, `${event.transcript.length} characters`);
    });
    session.on(voice.AgentSessionEventTypes.ConversationItemAdded, (event) => {
      if (event.item.role === 'assistant') mark('SAID', ctx, part, `${event.item.textContent?.length} characters`);
    });
    // The partner left: the session is closed, but the agent would stay in the room, silent.
    session.on(voice.AgentSessionEventTypes.Close, () => ctx.shutdown('the conversation is over'));
    await session.start({
      agent: new voice.Agent({ instructions: `You are the ${part.role}. Be brief.` }),
      room: ctx.room,
      // By default a session listens to persons only; the kind filter holds for a named identity, too.
      inputOptions: { participantKinds: [ParticipantKind.AGENT], participantIdentity: partner.identity },
    });
    mark('OK', ctx, part, `listens to ${partner.identity}`);
    if (part.first && session.llm) session.generateReply({ instructions: 'Greet, and say what you need.' });
  },
});

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  cli.runApp(
    new ServerOptions({
      agent: fileURLToPath(import.meta.url),
      agentName: NAME,
      production: true, // else `start` never marks itself full (LKD408)
      loadThreshold: 0.65, // below the limit of every livekit-server
      requestFunc: async (request) => {
        const { role } = partOf(request.job);
        if (!role) return request.reject(); // asks the next worker; at once, the server waits 3 s in all
        // Equal identities throw each other out, so the identity holds the job's id.
        return request.accept(role, `${role}-${request.id}`, '', { [ROLE]: role });
      },
      host: '127.0.0.1',
      port: Number(process.env.HTTP_PORT ?? 8081),
    }),
  );
}
