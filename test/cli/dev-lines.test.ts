/** What `holdfast dev` says happens, from rows as they are read. */
import { describe, expect, it } from 'vitest';
import { ActivityLines } from '../../src/cli/dev/activity-lines.ts';
import { servicesEnv, companionEnv, type DevEnvironment } from '../../src/cli/dev/environment.ts';
import { runLine, type Begun } from '../../src/cli/dev/run-lines.ts';
import { createDevScreen } from '../../src/cli/dev/screen.ts';
import { logEntry, toldOf } from '../../src/cli/dev/services-log.ts';
import { createStyle } from '../../src/cli/output/style.ts';
import type { ActivityRows } from '../../src/operations/activity/read-activity.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';

const ID = '01a22770-db68-713d-9ada-e8b44018da76';
const NOTHING: Omit<ActivityRows, 'now' | 'seq'> = { journal: [], messages: [], handled: [], parked: [] };
const error = { name: 'Error', message: 'no money\non this account' };

describe('the line of an event', () => {
  const told = (...events: JournalEvent[]) => {
    const begun: Begun = new Map();
    return events.map((event, n) => runLine(event, { at: 1_000 + 100 * n, startedAt: 1_000, begun })?.what ?? null);
  };

  it('is none for what only begins, and says how long it took when it is done', () => {
    const begun: Begun = new Map();
    const called: JournalEvent = { t: 'called', call: 'charge', kind: 'step', step: 'charge' };
    expect(runLine(called, { at: 1_000, startedAt: 0, begun })).toBeNull();
    expect(runLine({ t: 'done', call: 'charge' }, { at: 1_250, startedAt: 0, begun })).toEqual({
      tone: 'good',
      what: 'charge done',
      tookMs: 250,
    });
  });

  it('is one for a wait, and none for its end', () => {
    expect(
      told(
        { t: 'called', call: 'approved', kind: 'wait', step: 'approved' },
        { t: 'signal', name: 'approved' },
        { t: 'done', call: 'approved' },
        { t: 'called', call: 'sleep', kind: 'sleep', step: 'sleep', until: 61_300 },
        { t: 'done', call: 'sleep' },
      ),
    ).toEqual(['waits for the signal approved', 'signal approved came', null, 'sleeps for 1m', null]);
  });

  it('tells failure, doubt, the way back and what needs a person', () => {
    expect(
      told(
        { t: 'attempt failed', call: 'charge', attempt: 2, error, retryAt: 3_000 },
        { t: 'failed', call: 'charge', attempts: 3, error, outcome: 'unknown' },
        { t: 'undoing', reason: 'failed', error },
        { t: 'compensation failed', call: 'charge', attempt: 1, error },
        { t: 'stuck', why: 'compensation', call: 'charge', error },
        { t: 'undone' },
      ),
    ).toEqual([
      'charge failed, attempt 2: no money on this account; again in 2.0 s',
      'charge is in doubt, it may have happened: no money on this account',
      'is compensated, because it failed: no money on this account',
      'compensation of charge failed, attempt 1: no money on this account',
      'is stuck (compensation): no money on this account',
      'compensated',
    ]);
  });
});

describe('what was read', () => {
  const row = {
    id: ID,
    n: 0,
    at: 2_000,
    events: [{ t: 'completed' }],
    saga: 'place-order',
    key: 'o-1',
    startedAt: 1_500,
  } as const;
  const message = { id: ID, seq: 7, at: 2_000, topic: 'order.placed', key: 'o-1' };

  it('is told once, also when it is read again, and not what was there before', () => {
    const lines = new ActivityLines({ now: 1_000, seq: 5 });
    const rows = { ...NOTHING, now: 2_100, seq: 5, journal: [row, { ...row, n: 1, at: 900 }] };
    expect(lines.take(rows)).toEqual([
      {
        at: 2_000,
        about: 'run',
        tone: 'good',
        name: 'place-order',
        key: 'o-1',
        id: ID,
        what: 'completed',
        tookMs: 500,
      },
    ]);
    expect(lines.take(rows)).toEqual([]);
  });

  it('is read again for a minute, because transactions commit late', () => {
    const lines = new ActivityLines({ now: 1_000, seq: 5 });
    lines.take({ ...NOTHING, now: 100_000, seq: 5_000 });
    expect(lines.place).toEqual({ since: 40_000, seq: 4_000, messages: [] });
  });

  it('tells of a message when it is published, and of one that is not after a while', () => {
    const lines = new ActivityLines({ now: 1_000, seq: 5 });
    const what = (now: number, passed: boolean | null, id = ID): readonly string[] =>
      lines.take({ ...NOTHING, now, seq: 7, messages: [{ ...message, id, passed }] }).map((line) => line.what);
    expect(what(2_000, false)).toEqual([]);
    expect(lines.place.messages).toEqual([ID]);
    expect(what(6_000, false)).toEqual(['written, and not published yet']);
    expect(what(7_000, false)).toEqual([]);
    expect(what(8_000, true)).toEqual(['published']);
    expect(what(9_000, true)).toEqual([]);
    expect(lines.place.messages).toEqual([]);
    expect(what(9_000, null, 'another')).toEqual(['written; no relay reads the outbox']);
  });

  it('leaves replies to the steps that they answer', () => {
    const lines = new ActivityLines({ now: 1_000, seq: 5 });
    const reply = { ...message, topic: 'saga.reply' };
    const handled = [{ ...reply, consumer: 'saga-replies' }];
    expect(lines.take({ ...NOTHING, now: 2_100, seq: 7, messages: [{ ...reply, passed: true }], handled })).toEqual([]);
  });
});

describe('the log of the services', () => {
  it('is shown from warnings on, with what it is about and why', () => {
    const entry = logEntry('{"level":"warn","msg":"cannot publish","subscription":"main","err":{"message":"refused"}}');
    expect(entry === null ? null : toldOf(entry, 'warn')).toEqual({
      tone: 'notable',
      what: 'cannot publish (subscription main: refused)',
    });
    expect(entry === null ? null : toldOf(entry, 'error')).toBeNull();
  });

  it('leaves out what the lines about runs say', () => {
    const entry = logEntry('{"level":"warn","msg":"a step gave up","run":"r","saga":"s"}');
    expect(entry === null ? 'none' : toldOf(entry, 'warn')).toBeNull();
  });

  it.each(['charging', '{"level":30,"msg":"pino of a user"}', '{ half', '[]'])(
    'is not %s, which a program printed',
    (line) => {
      expect(logEntry(line)).toBeNull();
    },
  );
});

describe('the environment', () => {
  const given: DevEnvironment = {
    env: { PATH: '/bin', DATABASE_URL: 'postgres://old/db' },
    given: {},
    config: {},
    databaseUrl: 'postgres://here/app',
    dashboardPort: 9465,
    color: false,
  };

  it('has where the database is, and Redis where the configuration names one', () => {
    expect(companionEnv(given)).toEqual({ PATH: '/bin', DATABASE_URL: 'postgres://here/app' });
    expect(companionEnv({ ...given, config: { redis: { url: 'redis://r' } } })).toMatchObject({
      REDIS_URL: 'redis://r',
    });
  });

  it('makes leases short where nobody says how long they are', () => {
    expect(servicesEnv(given)).toMatchObject({ HOLDFAST_LEASE: '5s', HOLDFAST_SHUTDOWN_DEADLINE: '3s' });
    expect(servicesEnv({ ...given, config: { sagas: { lease: '1m' } } })).not.toHaveProperty('HOLDFAST_LEASE');
    expect(servicesEnv({ ...given, given: { lease: 1_000, shutdownDeadline: 1_000 } })).not.toHaveProperty(
      'HOLDFAST_LEASE',
    );
  });
});

it('shows what others wrote so that a terminal obeys none of it, but for the colours of programs', () => {
  let text = '';
  const screen = createDevScreen({
    json: false,
    ui: { style: createStyle(false), width: 80 },
    write: (more) => (text += more),
  });
  screen.printed('app', '\u001B[32mgreen\u001B[0m \u001B]0;title\u0007');
  screen.happened({
    at: 0,
    about: 'run',
    tone: 'bad',
    name: 'a\u001B[2J',
    key: 'k',
    id: ID,
    what: 'x\ny',
    tookMs: null,
  });
  expect(text).toContain('\u001B[32mgreen\u001B[0m \\x1b]0;title\\x07');
  expect(text).toContain('a\\x1b[2J k');
  expect(text.trimEnd().split('\n')).toHaveLength(2);
});
