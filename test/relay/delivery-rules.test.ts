/** What goes out when, what waits for what, and what is tried apart: the decisions of a delivery alone. */
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { split } from '../../src/relay/delivery/delivery.ts';
import { whyNotNow } from '../../src/relay/delivery/parked-revision.ts';
import type { ParkedRevision } from '../../src/relay/delivery/parking-store.ts';
import { publishApart } from '../../src/relay/delivery/publish-apart.ts';
import { asRevised, waves } from '../../src/relay/delivery/redrive.ts';
import type { LogEntry } from '../../src/relay/log/log-reader.ts';
import { schedulerWaitMs, type SchedulerStep } from '../../src/relay/maintenance/scheduler.ts';
import type { OutboundMessage, PublishOutcome } from '../../src/transport/port.ts';

const keyed = (seq: number, key: string | null) => ({ seq, key }) as LogEntry;
const seqs = (entries: readonly LogEntry[]) => entries.map(({ seq }) => seq);

describe('a page', () => {
  it('holds back what comes behind a parked message of its key, and nothing without a key', () => {
    const page = [keyed(1, 'a'), keyed(2, null), keyed(3, 'b'), keyed(4, 'a')];
    const { free, held } = split(page, new Set(['a']));
    expect([seqs(free), seqs(held)]).toEqual([
      [2, 3],
      [1, 4],
    ]);
    expect(split(page, new Set())).toEqual({ free: page, held: [] });
  });
});

describe('parked messages that are due', () => {
  const due = [keyed(1, 'a'), keyed(2, 'a'), keyed(3, null), keyed(4, null), keyed(5, 'b'), keyed(6, 'a')];

  it('go out the first of each key before the rest of it', () => {
    const { heads, followers } = waves(due, true);
    expect([seqs(heads), seqs(followers)]).toEqual([
      [1, 3, 4, 5],
      [2, 6],
    ]);
  });

  it('go out all at once where no order is kept', () => {
    expect(waves(due, false)).toEqual({ heads: due, followers: [] });
  });
});

describe('a batch that the code of a transport fails on', () => {
  const batch = [1, 2, 3].map((n) => ({ id: `${n}` }) as OutboundMessage);
  const published: PublishOutcome = { kind: 'published' };
  const away = new HoldfastError('HF_TRANSPORT_UNAVAILABLE', 'away');
  const told: string[] = [];
  const apart = (answer: (id: string) => Error | null, check = async () => {}) =>
    publishApart(batch, {
      check,
      onAttempt: () => {},
      async publish({ id }) {
        told.push(id);
        const error = answer(id);
        if (error !== null) throw error;
        return [published];
      },
    });

  it('is published one by one, and only what the code fails on is refused, not for good', async () => {
    const outcomes = await apart((id) => (id === '2' ? new TypeError('no such field') : null));
    expect(outcomes.map(({ kind }) => kind)).toEqual(['published', 'refused', 'published']);
    expect(outcomes[1]).toMatchObject({ permanent: false, error: { code: 'HF_MESSAGE_REFUSED' } });
  });

  it('is not, when the broker does not answer: before the first of them, or in the middle', async () => {
    told.length = 0;
    await expect(
      apart(
        () => null,
        () => Promise.reject(away),
      ),
    ).rejects.toBe(away);
    expect(told).toEqual([]);
    await expect(apart((id) => (id === '2' ? away : null))).rejects.toBe(away);
    expect(told).toEqual(['1', '2']);
  });
});

describe('the next look at scheduled messages', () => {
  const step = (rest: Partial<SchedulerStep>): SchedulerStep => ({
    moved: 0,
    duplicates: [],
    nextInMs: null,
    more: false,
    refused: null,
    ...rest,
  });

  it('comes when the next is due, never before it, and often enough to see new ones', () => {
    expect(schedulerWaitMs(step({ more: true, nextInMs: 400 }))).toBe(0);
    expect(schedulerWaitMs(step({ nextInMs: 20.2 }))).toBe(21);
    expect(schedulerWaitMs(step({ nextInMs: -3 }))).toBe(1);
    expect(schedulerWaitMs(step({ nextInMs: 86_400_000 }))).toBe(500);
    expect(schedulerWaitMs(step({}))).toBe(500);
  });
});

describe('a message that was edited', () => {
  it('an edit is for what nobody can be publishing', () => {
    const free = { held: false, claims: false, claimed: false, passed: true };
    expect(whyNotNow(free)).toBeNull();
    expect(whyNotNow({ ...free, claimed: true })).toBeNull();
    expect(whyNotNow({ ...free, passed: false })).not.toBeNull();
    expect(whyNotNow({ ...free, held: true })?.why).toMatch(/version/);
    expect(whyNotNow({ ...free, held: true, claims: true })).toBeNull();
    expect(whyNotNow({ ...free, held: true, claims: true, claimed: true })?.why).toMatch(/publishing/);
  });

  it('what is not parked any more is left out, and so is what is behind one that is read later', () => {
    const entry = (seq: number) => ({ seq, payload: `${seq}`, headers: '{}' }) as LogEntry;
    const claim = (seq: number, revision: ParkedRevision | 'later' | null) => [seq, { seq, revision }] as const;
    const revision = { payload: 'new', headers: '{"a":1}' };
    expect(asRevised([entry(1), entry(2), entry(3)], new Map([claim(1, revision), claim(3, null)]))).toEqual([
      { ...entry(1), ...revision },
      entry(3),
    ]);
    const later = new Map([claim(1, null), claim(2, 'later'), claim(3, null)]);
    expect(asRevised([entry(1), entry(2), entry(3)], later)).toEqual([entry(1)]);
  });
});
