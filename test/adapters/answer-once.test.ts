/** What the end of a transaction means to who sent a request with an idempotency key: decided by the result, whatever the database. */
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { answerOnce, type AnswerTools } from '../../src/adapters/http/answer-once.ts';
import { jsonAnswer } from '../../src/adapters/http/answer.ts';
import type { IdempotentRequest } from '../../src/adapters/http/idempotency-key.ts';
import type { UnitOfWorkResult } from '../../src/inbox/handlers/unit-of-work.ts';
import { noCrash } from '../../src/runtime/crash-point.ts';
import { createDeadlines } from '../../src/runtime/deadlines.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

const ofServer = (code: string): Error => Object.assign(new Error('of the server'), { code });
const AWAY = Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' });
const SERIALIZATION = '40001';
const request = { method: 'POST', url: '/orders', key: 'k', scope: 'ann', body: {} };

/** Transactions that end so, one after the other; the last one again and again. */
function asking(...ends: readonly object[]) {
  let turns = 0;
  const tools = {
    work: {
      schema: 'holdfast',
      run: async () => ends[Math.min(turns++, ends.length - 1)] as UnitOfWorkResult<never>,
      transaction: () => Promise.reject(new Error('not asked for')),
    },
    required: true,
    maxBytes: 1_000,
    codec: null,
    timeoutMs: 1_000,
    isFinal: () => true,
    deadlines: createDeadlines(createManualClock()),
    crash: noCrash,
    underWay: new Set<string>(),
  } satisfies AnswerTools<unknown>;
  const ask = (more: Partial<IdempotentRequest> = {}) =>
    answerOnce(tools, { ...request, ...more }, () => jsonAnswer(200, null));
  return { ask, turns: () => turns };
}

const ended = (value: object) => ({ kind: 'ended', value });
const threw = (error: unknown, doing: string) => ended({ kind: 'threw', error, while: doing });
const answered = ended({ kind: 'answered', answer: jsonAnswer(201, 1), replayed: false });
const codeOf = async (asked: ReturnType<ReturnType<typeof asking>['ask']>) => {
  const { status, refusal } = await asked;
  return `${status} ${refusal?.code ?? ''}`;
};

describe('a request', () => {
  it('without a scope is a mistake of the service: its users would be given answers of one another', async () => {
    for (const scope of ['', undefined, 7])
      await expect(asking(answered).ask({ scope } as Partial<IdempotentRequest>)).rejects.toMatchObject({
        code: 'HF_CONFIG',
      });
  });

  it('is refused before anything is asked of the database: without a key, with two, or nested too deep', async () => {
    const { ask, turns } = asking(answered);
    const deep: unknown = JSON.parse('['.repeat(501) + ']'.repeat(501));
    expect(await codeOf(ask({ key: null }))).toBe('400 HF_IDEMPOTENCY_KEY');
    expect(await codeOf(ask({ key: ['a', 'b'] }))).toBe('400 HF_IDEMPOTENCY_KEY');
    expect(await codeOf(ask({ body: deep }))).toBe('400 HF_PAYLOAD_INVALID');
    expect(turns()).toBe(0);
  });

  it('whose first one is kept encrypted, and cannot be opened here, is to be sent again', async () => {
    const closed = new HoldfastError('HF_PAYLOAD_ENCRYPTED', 'the key a');
    const answer = await asking(threw(closed, 'claiming')).ask();
    expect(answer).toMatchObject({ status: 503, refusal: { code: 'HF_PAYLOAD_ENCRYPTED' } });
    expect(answer.refusal?.message).not.toContain('the key a');
  });
});

describe('a connection that breaks', () => {
  it('during COMMIT leaves it open whether the request was carried out', async () => {
    expect(await codeOf(asking({ kind: 'failed', phase: 'commit', error: AWAY }).ask())).toBe('503 HF_COMMIT_IN_DOUBT');
  });

  it.each(['opening', 'closing'])('at %s says that it was not', async (phase) => {
    expect(await codeOf(asking({ kind: 'failed', phase, error: AWAY }).ask())).toBe('503 HF_DATABASE_UNAVAILABLE');
  });

  it('while the answer is stored says so, too', async () => {
    expect(await codeOf(asking(threw(AWAY, 'storing')).ask())).toBe('503 HF_DATABASE_UNAVAILABLE');
  });
});

describe('an error', () => {
  it('of the handler is the service’s own, also when it passes by itself', async () => {
    for (const error of [new TypeError('x'), AWAY, ofServer(SERIALIZATION)])
      await expect(asking(threw(error, 'handling')).ask()).rejects.toBe(error);
  });

  it('that will not pass is told to the service, and not as a database that is away', async () => {
    await expect(asking(threw(ofServer('42P01'), 'claiming')).ask()).rejects.toThrow();
    await expect(asking({ kind: 'failed', phase: 'body', error: AWAY }).ask()).rejects.toBe(AWAY);
  });
});

describe('a key', () => {
  it('that another one has claimed at that very moment is looked at again, a few times', async () => {
    const lost = threw(ofServer(SERIALIZATION), 'claiming');
    const second = asking(lost, answered);
    expect(await codeOf(second.ask())).toBe('201 ');
    expect(second.turns()).toBe(2);
    const always = asking(lost);
    expect(await codeOf(always.ask())).toBe('409 HF_IDEMPOTENCY_UNDER_WAY');
    expect(always.turns()).toBe(3);
  });

  it('is held while it is answered, and free afterwards, also when that failed', async () => {
    const { ask, turns } = asking(threw(new Error('no'), 'handling'), answered);
    const first = ask();
    expect(await codeOf(ask())).toBe('409 HF_IDEMPOTENCY_UNDER_WAY');
    await expect(first).rejects.toThrow('no');
    expect(await codeOf(ask())).toBe('201 ');
    expect(turns()).toBe(2);
  });
});
