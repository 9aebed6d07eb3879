/** What becomes of one job of another library, decided without a database. */
import { describe, expect, it } from 'vitest';
import {
  decideJob,
  importedId,
  type DecideOptions,
  type MapJob,
  type SourceJob,
} from '../../src/operations/import/decide.ts';

const source = { kind: 'pg-boss', label: 'pgboss.job' } as const;
const job: SourceJob = {
  ref: 'mail/1',
  name: 'mail',
  state: 'waiting',
  attempts: 2,
  key: 'k-1',
  dueMs: null,
  payload: '{"to": "a@b.c"}',
  bytes: 15,
};
const topics = new Map([['mail', 'mail.requested']]);

const decide = async (more: Partial<SourceJob> = {}, options: Partial<DecideOptions> = {}) =>
  decideJob(source, { ...job, ...more }, { topics, sameNames: false, maxBytes: 1_000, ...options });
const mapped = (map: MapJob, more: Partial<SourceJob> = {}) => decide(more, { topics: new Map(), map });
const moved = async (decision: ReturnType<typeof decide>) => {
  const made = await decision;
  if (made.kind === 'leave') throw new Error(`It is left: ${made.why}`);
  return made.message;
};
const left = async (decision: ReturnType<typeof decide>) => {
  const made = await decision;
  return made.kind === 'leave' ? made.why : made;
};

describe('a job that is moved', () => {
  it('keeps its key, and its payload as the text that it was', async () => {
    const payload = '{"amount": 12345678901234567890, "rate": 1.0}';
    expect(await moved(decide({ payload }))).toMatchObject({
      topic: 'mail.requested',
      key: 'k-1',
      payload,
      due: undefined,
    });
  });

  it('keeps its time', async () => {
    const dueMs = Date.UTC(2090, 0, 31, 12);
    expect((await moved(decide({ dueMs }))).due).toEqual({ due_at: '2090-01-31T12:00:00.000Z' });
  });

  it('has the same id whenever it is looked at, and another one than any other', async () => {
    const { id } = await moved(decide());
    expect((await moved(decide({ attempts: 3, payload: '1' }))).id).toBe(id);
    expect(id).toBe(importedId(source, 'mail/1'));
    const others = [
      importedId(source, 'mail/2'),
      importedId({ ...source, label: 'other.job' }, 'mail/1'),
      importedId({ ...source, kind: 'table' }, 'mail/1'),
    ];
    expect(new Set([id, ...others]).size).toBe(4);
  });

  it('is what a function of the user makes of it, which is given a copy', async () => {
    const made = mapped((given) => {
      (given.payload as { to: string }).to = '\u0000';
      return { topic: `old.${given.name}`, key: null, version: 2 };
    });
    expect(await moved(made)).toMatchObject({ topic: 'old.mail', key: null, payload: job.payload });
    expect(await moved(mapped(() => ({ topic: 'a.b', payload: [1] })))).toMatchObject({ key: 'k-1', payload: '[1]' });
  });
});

describe('a job that stays', () => {
  it.each<[string, ReturnType<typeof decide>, RegExp]>([
    ['is too large', decide({ payload: null }), /more than 1000 bytes/],
    ['was put off for ever', decide({ dueMs: 'never' }), /infinite/],
    ['is no JSON', decide({ payload: 'no json' }), /no JSON/],
    ['has a name that nobody gave a topic', decide({ name: 'invoice' }), /nothing says its topic/],
    ['is left by the function', mapped(() => null), /gave null/],
    ['meets a function that throws', mapped(() => Promise.reject(new Error('not today'))), /not today/],
    ['has a topic that is none', mapped(() => ({ topic: 'no topic' })), /topic/],
    ['is said something of that is misspelled', mapped(() => ({ topic: 'a.b', keys: 'k' }) as never), /keys/],
    ['has a version that is none', mapped(() => ({ topic: 'a.b', version: 0 })), /version is 0/],
  ])('%s', async (_, decision, why) => {
    expect(await left(decision)).toMatch(why);
  });

  it('has its name as topic only where that was asked for', async () => {
    expect(await moved(decide({ name: 'invoice' }, { sameNames: true }))).toMatchObject({ topic: 'invoice' });
  });
});
