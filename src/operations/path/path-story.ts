/**
 * The way of a message as lines in the order of time, with the times between. Pure.
 */
import type {
  ConsumerVisit,
  InDatabase,
  LedMessage,
  MessagePath,
  PathMessage,
  PathRun,
  PathSender,
  PathStep,
  PathStepKind,
  RelayVisit,
} from './path-model.ts';

type Facts = Omit<MessagePath, 'steps'>;

interface Line {
  readonly kind: PathStepKind;
  readonly at: Date | null;
  readonly who: string;
  readonly text: string;
  readonly trouble?: boolean;
  readonly database?: string;
}

/** In which database something is, where several were asked. */
function placed({ database }: InDatabase): InDatabase {
  return database === undefined ? {} : { database };
}

/** In one moment, what leads to something comes before it. What has no time stands where it belongs. */
const RANK: Readonly<Record<PathStepKind, number>> = {
  cause: 0,
  written: 1,
  relay: 2,
  replay: 3,
  consumer: 4,
  participant: 5,
  led: 6,
  run: 7,
};

export function storyOf(facts: Facts): readonly PathStep[] {
  const writtenAt = facts.message?.createdAt.getTime() ?? null;
  const lines = [
    ...facts.causes.toReversed().map(causeLine),
    ...writtenLines(facts).map((line): Line => ({ ...line, ...placed(facts) })),
    ...facts.relays.flatMap(relayLines),
    ...facts.consumers.map(consumerLine),
    ...facts.participants.map((visit): Line => ({
      kind: 'participant',
      at: visit.at,
      who: visit.participant,
      text: `has it as ${visit.state}`,
      ...placed(visit),
    })),
    ...facts.led.map(ledLine),
    ...runLines(facts),
  ];
  let before: number | null = null;
  return inOrder(lines, writtenAt).map(({ trouble = false, ...line }): PathStep => {
    const at = line.at?.getTime() ?? null;
    const afterMs = at === null || before === null ? null : at - before;
    before = at ?? before;
    return {
      ...line,
      sinceWrittenMs: at === null || writtenAt === null ? null : at - writtenAt,
      afterMs,
      trouble,
    };
  });
}

/** What has no time of its own comes right after the message was written. */
function inOrder(lines: readonly Line[], writtenAt: number | null): readonly Line[] {
  const placeOf = ({ at }: Line): number => at?.getTime() ?? writtenAt ?? Number.NEGATIVE_INFINITY;
  return lines.toSorted((a, b) => placeOf(a) - placeOf(b) || RANK[a.kind] - RANK[b.kind]);
}

function causeLine(cause: Facts['causes'][number]): Line {
  const { id, topic, createdAt } = cause;
  return { kind: 'cause', at: createdAt, who: id, text: `${topic}, whose handling led to it`, ...placed(cause) };
}

function writtenLines({ id, message, scheduled, sender, state, together }: Facts): readonly Line[] {
  if (scheduled !== null)
    return [
      {
        kind: 'written',
        at: scheduled.dueAt,
        who: id,
        text: `${scheduled.topic} is scheduled for then`,
        trouble: true,
      },
    ];
  if (message === null)
    return state === 'pruned'
      ? [{ kind: 'written', at: null, who: id, text: 'is not in the log any more: retention pruned it' }]
      : [];
  return [
    { kind: 'written', at: message.createdAt, who: id, text: writtenText(message, sender) },
    ...together.runs.map((run): Line => ({
      kind: 'written',
      at: message.createdAt,
      who: run.id,
      text: `${nameOf(run)} was started by the same transaction`,
    })),
    ...together.messages.map((other): Line => ({
      kind: 'written',
      at: other.createdAt,
      who: other.id,
      text: `${other.topic} was written by the same transaction`,
    })),
  ];
}

function writtenText({ topic, xid, source }: PathMessage, sender: PathSender | null): string {
  const by = source === null ? '' : ` by ${source}`;
  if (sender === null) return `${topic} was written${by} in transaction ${xid}`;
  const { run, runId, call, role, attempt } = sender;
  const what = role === 'compensation' ? 'compensates' : 'is sent by';
  const again = attempt > 1 ? `, attempt ${attempt}` : '';
  return `${topic} ${what} ${call ?? 'a call'} of ${run === null ? `run ${runId}` : nameOf(run)}${again}`;
}

function relayLines(visit: RelayVisit): readonly Line[] {
  const { subscription, state, parked, revised, replays } = visit;
  const texts = {
    passed: 'published it',
    waiting: 'has not read it yet',
    unrouted: 'has no route for its topic: nobody gets it by this one',
    parked: 'could not publish it',
  };
  const text =
    parked === null
      ? texts[state]
      : parked.state === 'behind'
        ? 'keeps it behind an earlier message of its key that is parked'
        : revised && parked.attempts === 0
          ? 'has it parked'
          : `parked it after ${parked.attempts} attempts: ${parked.error ?? parked.reason}`;
  const edited = revised ? '; it was edited, and will go out with another payload than it was written with' : '';
  return [
    {
      kind: 'relay',
      at: parked?.parkedAt ?? null,
      who: subscription,
      text: text + edited,
      trouble: state === 'parked',
      ...placed(visit),
    },
    ...replays.map(({ id, requestedAt, published }): Line => ({
      kind: 'replay',
      at: requestedAt,
      who: subscription,
      text: `was asked to publish it again, by replay ${id}: ${published ? 'done' : 'it has not come to it yet'}`,
      ...placed(visit),
    })),
  ];
}

function consumerLine(visit: ConsumerVisit): Line {
  const { consumer, state, at, attempts, parked } = visit;
  const line = { kind: 'consumer', at, who: consumer, ...placed(visit) } as const;
  if (parked !== null) {
    const text =
      parked.state === 'behind'
        ? 'keeps it behind an earlier message of its key that is parked'
        : `parked it after ${parked.attempts} attempts: ${parked.error ?? parked.reason}`;
    return { ...line, text, trouble: true };
  }
  if (state === 'handled') return { ...line, text: 'handled it' };
  return { ...line, text: `was lost while it handled it, ${attempts ?? 1} times`, trouble: true };
}

function ledLine(led: LedMessage): Line {
  const { id, topic, createdAt, depth, relation } = led;
  const text =
    relation === 'together'
      ? `${topic} was written in the transaction of its handler`
      : `${topic} was sent by ${depth === 1 ? 'its handler' : `a handler ${depth} messages on`}`;
  return { kind: 'led', at: createdAt, who: id, text, ...placed(led) };
}

function runLines(facts: Facts): readonly Line[] {
  const { sender, answer } = facts;
  const lines: Line[] = [];
  const { outcome = null } = sender ?? {};
  if (sender !== null && outcome !== null && sender.role !== 'emitted') {
    const text = `${sender.run === null ? 'its run' : nameOf(sender.run)} recorded ${sender.call ?? 'its call'} as: ${outcome.event}`;
    lines.push({ kind: 'run', at: outcome.at, who: sender.runId, text, ...placed(sender.run ?? facts) });
  }
  if (answer !== null) {
    const { run, runId, call, state, taken } = answer;
    const name = run === null ? `run ${runId}` : nameOf(run);
    const text =
      taken !== null
        ? `${name} took it in as the answer to ${call}: ${taken.event}`
        : state === 'waiting'
          ? `${name} has not taken it in yet: no worker has come to it`
          : run === null
            ? `${name} is ${facts.database === undefined ? 'not in this database' : 'in none of these databases'}`
            : `${name} has not recorded it as an answer to ${call}`;
    lines.push({ kind: 'run', at: taken?.at ?? null, who: runId, text, trouble: taken === null, ...placed(run ?? {}) });
  }
  return lines;
}

function nameOf({ saga, version, key }: PathRun): string {
  return key === null ? `${saga}@${version}` : `${saga}@${version} ${key}`;
}
