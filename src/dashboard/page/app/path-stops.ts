/**
 * A message's way as it is drawn: stop after stop, how each looks and where it leads. Pure.
 */
import type { Look } from './story.ts';
import type { WirePath } from './wire.ts';

/** Path and query of a view. `label`: null: the stop's own text leads there. */
export interface StopLink {
  readonly path: string;
  readonly query: Readonly<Record<string, string | null>>;
  readonly label: string | null;
  /** Where it is; left out where only one was asked. */
  readonly database?: string;
}

export interface PathStop {
  readonly where: string;
  readonly look: Look;
  readonly text: string;
  /** In which of several databases; null: only one was asked. */
  readonly database: string | null;
  readonly link: StopLink | null;
  /** Null: when it happened is not recorded. */
  readonly at: number | null;
  /** Since the stop before it whose time is known. */
  readonly gapMs: number | null;
  readonly sinceWrittenMs: number | null;
}

type WireStep = WirePath['steps'][number];

export function stopsOf(path: WirePath): readonly PathStop[] {
  return path.steps.map((step): PathStop => {
    const { at, afterMs, sinceWrittenMs, text } = step;
    return {
      where: whereOf(step, path),
      look: lookOf(step, path),
      text,
      database: step.database ?? null,
      link: linkOf(step, path),
      at: at === null ? null : Date.parse(at),
      gapMs: afterMs,
      sinceWrittenMs,
    };
  });
}

/** From its transaction to the last stop whose time is known; null: nothing came after it. */
export function wholeTime({ steps }: WirePath): number | null {
  const last = Math.max(0, ...steps.flatMap(({ sinceWrittenMs }) => sinceWrittenMs ?? []));
  return last >= 0.5 ? last : null;
}

/** Whether to say that inboxes of other databases are not seen: nobody has it here, and somebody was to. */
export function isHandledElsewhere({ state, relays, consumers, answer }: WirePath): boolean {
  return (
    state === 'logged' && consumers.length === 0 && answer === null && relays.some((each) => each.state === 'passed')
  );
}

const NAMES: Readonly<Record<WireStep['kind'], (who: string) => string>> = {
  cause: () => 'Caused by',
  written: () => 'Transaction',
  relay: (who) => `Relay of ${who}`,
  replay: (who) => `Replay on ${who}`,
  consumer: (who) => `Consumer ${who}`,
  participant: (who) => `Participant ${who}`,
  led: () => 'Led to',
  run: () => 'Saga',
};

function whereOf({ kind, who }: WireStep, { id, state }: WirePath): string {
  if (kind === 'written' && who !== id) return 'Beside it';
  if (kind === 'written' && state !== 'logged') return state === 'scheduled' ? 'Scheduled' : 'Outbox';
  return NAMES[kind](who);
}

const RELAY_LOOKS: Readonly<Record<WirePath['relays'][number]['state'], Look>> = {
  passed: { tone: 'ok', shape: 'check', word: 'published' },
  parked: { tone: 'bad', shape: 'square', word: 'parked' },
  waiting: { tone: 'wait', shape: 'ring', word: 'waits' },
  unrouted: { tone: 'off', shape: 'dash', word: 'no route' },
};
const OK: Look = { tone: 'ok', shape: 'check', word: '' };
const BESIDE: Look = { tone: 'off', shape: 'dot', word: '' };
const WAITS: Look = { tone: 'wait', shape: 'ring', word: 'waits' };

function lookOf({ kind, who, trouble }: WireStep, { id, relays, state }: WirePath): Look {
  switch (kind) {
    case 'relay':
      return RELAY_LOOKS[relays.find(({ subscription }) => subscription === who)?.state ?? 'waiting'];
    case 'consumer':
      return trouble ? RELAY_LOOKS.parked : OK;
    case 'run':
      return trouble ? { tone: 'warn', shape: 'ring', word: 'not taken in' } : OK;
    case 'written':
      return who !== id ? BESIDE : state === 'scheduled' ? WAITS : state === 'pruned' ? RELAY_LOOKS.unrouted : OK;
    case 'participant':
      return OK;
    case 'cause':
    case 'led':
    case 'replay':
      return BESIDE;
  }
}

function linkOf(step: WireStep, path: WirePath): StopLink | null {
  const { kind, who, trouble } = step;
  const { id, sender, answer, together } = path;
  const leads = (to: string, query: StopLink['query'] = {}, label: string | null = null): StopLink => ({
    path: to,
    query,
    label,
    ...(step.database === undefined ? {} : { database: step.database }),
  });
  switch (kind) {
    case 'cause':
    case 'led':
      return leads(`messages/${who}`);
    case 'written':
      if (who === id) return sender === null ? null : leads(`runs/${sender.runId}`, { call: sender.call });
      return leads(together.runs.some((run) => run.id === who) ? `runs/${who}` : `messages/${who}`);
    case 'run':
      return leads(`runs/${who}`, { call: sender?.call ?? answer?.call ?? null });
    case 'replay':
      return leads('subscriptions');
    case 'relay':
    case 'consumer':
      return trouble && isParkedAt(path, step) ? leads(`parked/${id}`, {}, 'Why, and what to do') : null;
    case 'participant':
      return null;
  }
}

/** What was lost while it was handled is not parked: there is nothing to look at yet. */
function isParkedAt({ relays, consumers }: WirePath, { kind, who, database }: WireStep): boolean {
  const isThere = (each: { readonly parked: unknown; readonly database?: string }): boolean =>
    each.parked !== null && each.database === database;
  if (kind === 'relay') return relays.some((each) => each.subscription === who && isThere(each));
  return consumers.some((each) => each.consumer === who && isThere(each));
}
