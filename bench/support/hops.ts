/**
 * From notes (hop-notes.ts) to hops: when a command was committed, read by the relay, published, handed out, handled, and the same of its
 * reply, until the worker commits what came of it. Pure.
 */
import { median } from './figure.ts';
import type { HopNote, TracedMessage } from './hop-notes.ts';

/** From one moment to the next one, over all commands that have both. In milliseconds. */
export interface Hop {
  readonly name: string;
  readonly p50: number;
  readonly p90: number;
  readonly count: number;
}

type Moments = Readonly<Record<string, number | undefined>>;

/** In the order in which they come. `what` happens from `from` to `to`; the moments are those of momentsOf(). */
const HOPS: readonly { readonly what: string; readonly from: string; readonly to: string }[] = [
  { what: 'worker: commit with the command', from: 'commit:before', to: 'commit:after' },
  { what: 'wait: relay looks at the log', from: 'commit:after', to: 'command.read:before' },
  { what: 'relay: reads', from: 'command.read:before', to: 'command.read:after' },
  { what: 'relay: page made ready', from: 'command.read:after', to: 'command.publish:before' },
  { what: 'broker: published and handed out', from: 'command.publish:before', to: 'command.delivered' },
  { what: '  of that, until acknowledged', from: 'command.publish:before', to: 'command.publish:after' },
  { what: 'participant: decodes, connects', from: 'command.delivered', to: 'inbox.begin:before' },
  { what: 'participant: begin, mark', from: 'inbox.begin:before', to: 'inbox.begin:after' },
  { what: 'participant: call, handler, reply', from: 'inbox.begin:after', to: 'inbox.commit:before' },
  { what: '  of that, the handler of the service', from: 'handler:before', to: 'handler:after' },
  { what: 'participant: commit', from: 'inbox.commit:before', to: 'inbox.commit:after' },
  { what: 'wait: relay looks at the log', from: 'inbox.commit:after', to: 'reply.read:before' },
  { what: 'relay: reads', from: 'reply.read:before', to: 'reply.read:after' },
  { what: 'relay: page made ready', from: 'reply.read:after', to: 'reply.publish:before' },
  { what: 'broker: published and handed out', from: 'reply.publish:before', to: 'reply.delivered' },
  { what: '  of that, until acknowledged', from: 'reply.publish:before', to: 'reply.publish:after' },
  { what: 'worker: takes the reply, decides', from: 'reply.delivered', to: 'next:before' },
  { what: '  of that, the consumer of replies', from: 'reply.delivered', to: 'reply.settled' },
  { what: 'all, from commit to commit', from: 'commit:before', to: 'next:before' },
  { what: 'from the call of a run to its first commit', from: 'run:started', to: 'first:before' },
  { what: 'from the last commit to the result', from: 'last:after', to: 'run:ended' },
];

/**
 * What does not say which message it is about (commits, looks at the log, transactions of the participant) is taken to be the last one
 * before what does, or the first one after. With many runs in flight that can be another one's, and a little too early or too late.
 */
export function hopsOf(notes: readonly HopNote[], messages: Iterable<TracedMessage>): readonly Hop[] {
  const all = [...commandsOf(notes, messages), ...runsOf(notes)];
  return HOPS.flatMap(({ what, from, to }) => {
    const took = all.flatMap((moments) => {
      const [start, end] = [moments[from], moments[to]];
      return start === undefined || end === undefined ? [] : [Math.max(0, end - start)];
    });
    if (took.length === 0) return [];
    const sorted = took.toSorted((a, b) => a - b);
    return [
      {
        name: what,
        p50: median(took),
        p90: sorted[Math.floor(0.9 * (sorted.length - 1))] ?? NaN,
        count: took.length,
      },
    ];
  });
}

function commandsOf(notes: readonly HopNote[], messages: Iterable<TracedMessage>): readonly Moments[] {
  const of = new Map<string, Map<string, number>>();
  for (const { at, point, message } of notes) {
    if (message === null) continue;
    const moments = of.get(message) ?? new Map<string, number>();
    of.set(message, moments);
    moments.set(point, at);
  }
  const calls = new Map<string, { command?: string; reply?: string }>();
  for (const { id, kind, run, call } of messages) {
    const key = `${run} ${call}`;
    calls.set(key, { ...calls.get(key), [kind]: id });
  }
  const times = timesOf(notes);
  return [...calls.values()].map(({ command, reply }) =>
    momentsOf(times, of.get(command ?? '') ?? new Map(), of.get(reply ?? '') ?? new Map()),
  );
}

function momentsOf(times: Times, command: ReadonlyMap<string, number>, reply: ReadonlyMap<string, number>): Moments {
  const [published, answered] = [command.get('publish:before'), reply.get('publish:before')];
  const [read, answerRead] = [
    times.before('relay.read:before', published),
    times.before('relay.read:before', answered),
  ];
  const readAfter = times.before('relay.read:after', published);
  const committed = times.before('saga.commit:after', readAfter);
  const delivered = reply.get('delivered');
  const handling = command.get('handler:before');
  const handled = command.get('handler:after');
  return {
    'commit:before': times.before('saga.commit:before', committed),
    'commit:after': committed,
    'command.read:before': read,
    'command.read:after': readAfter,
    ...named('command', command),
    'handler:before': handling,
    'handler:after': handled,
    'inbox.begin:before': times.before('inbox.begin:before', handling),
    'inbox.begin:after': times.before('inbox.begin:after', handling),
    'inbox.commit:before': times.after('inbox.commit:before', handled),
    'inbox.commit:after': times.after('inbox.commit:after', handled),
    'reply.read:before': answerRead,
    'reply.read:after': times.before('relay.read:after', answered),
    ...named('reply', reply),
    'next:before': times.after('saga.commit:before', delivered),
  };
}

function named(kind: string, moments: ReadonlyMap<string, number>): Moments {
  return Object.fromEntries(
    ['publish:before', 'publish:after', 'delivered', 'settled'].map((point) => [
      `${kind}.${point}`,
      moments.get(point),
    ]),
  );
}

function runsOf(notes: readonly HopNote[]): readonly Moments[] {
  const times = timesOf(notes);
  return notes.flatMap(({ at, point }): Moments[] => {
    if (point === 'run:started') return [{ [point]: at, 'first:before': times.after('saga.commit:before', at) }];
    if (point === 'run:ended') return [{ [point]: at, 'last:after': times.before('saga.commit:after', at) }];
    return [];
  });
}

interface Times {
  /** The last one not after that moment. */
  before(point: string, at: number | undefined): number | undefined;
  /** The first one not before it. */
  after(point: string, at: number | undefined): number | undefined;
}

function timesOf(notes: readonly HopNote[]): Times {
  const sorted = new Map<string, number[]>();
  for (const { at, point } of notes) {
    const times = sorted.get(point);
    if (times === undefined) sorted.set(point, [at]);
    else times.push(at);
  }
  /** How many of them lie before that moment. */
  const place = (times: readonly number[], at: number): number => {
    let [low, high] = [0, times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((times[middle] ?? Infinity) < at) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return {
    before(point, at) {
      const times = sorted.get(point);
      return times === undefined || at === undefined ? undefined : times[place(times, at) - 1];
    },
    after(point, at) {
      const times = sorted.get(point);
      return times === undefined || at === undefined ? undefined : times[place(times, at)];
    },
  };
}
