/**
 * Participants: one effect and one stored answer for each call of a run, whatever comes how often and in which order.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError, Rejection } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import {
  note,
  openStockLab,
  Release,
  Reserve,
  reservation,
  Reserved,
  RUN,
  sent,
  stockHandlers,
  type StockLab,
} from './participant-lab.ts';
import { unwarned } from '../support/unwarned.ts';

const DONE = { kind: 'done' };
let lab: StockLab;
beforeAll(async () => {
  lab = await openStockLab();
});
beforeEach(() => lab.clean());
afterAll(() => lab.dispose());
const answer = { runId: RUN, call: 'reserve', to: 'command', outcome: 'done', output: reservation, outputVersion: 1 };
const compensated = { runId: RUN, call: 'reserve', to: 'compensation', outcome: 'done' };
const [reserve, release] = stockHandlers as [(typeof stockHandlers)[0], (typeof stockHandlers)[0]];

describe('a command', () => {
  it('has its effect, its record and its reply in one commit; the reply belongs to the run', async () => {
    expect(await lab.participant().handle(sent())).toEqual(DONE);
    expect(await lab.notes()).toEqual(['reserve book']);
    expect(await lab.replies()).toEqual([answer]);
    expect(await lab.calls()).toMatchObject([{ state: 'done', reply: { outcome: 'done', output: reservation } }]);
    const { rows } = await lab.test.pool.query(
      `SELECT (SELECT count(DISTINCT xmin::text)::int FROM (SELECT xmin FROM effect UNION ALL SELECT xmin FROM holdfast.inbox
         UNION ALL SELECT xmin FROM holdfast.outbox) x) AS commits, key, headers ->> 'correlationid' AS run FROM holdfast.outbox`,
    );
    expect(rows).toEqual([{ commits: 1, key: RUN, run: RUN }]);
  });

  it('delivered twice is answered once; sent again it is answered again, from the record', async () => {
    const stock = lab.participant();
    const first = sent();
    await stock.handle(first);
    await stock.handle(first);
    expect(await lab.replies()).toEqual([answer]);
    await stock.handle(sent({ data: { sku: 'pen', count: 9 } }));
    expect(await lab.notes()).toEqual(['reserve book']);
    expect(await lab.replies()).toEqual([answer, answer]);
  });

  it('is told from the other calls of its run, and of other runs', async () => {
    const stock = lab.participant();
    await stock.handle(sent());
    await stock.handle(sent({ call: 'reserve:line-2' }));
    await stock.handle(sent({ runId: randomUUID() }));
    expect(await lab.notes()).toHaveLength(3);
    expect(await lab.replies()).toHaveLength(3);
  });

  it('sent at the same moment by two connections runs once', async () => {
    const stock = lab.participant();
    await Promise.all([1, 2, 3, 4].map(() => stock.handle(sent())));
    expect(await lab.notes()).toEqual(['reserve book']);
    expect(await lab.replies()).toEqual([answer, answer, answer, answer]);
  });

  it('from no saga runs once and is not answered', async () => {
    const stock = lab.participant({
      handlers: [
        handle(Reserve, { reply: Reserved }, async (_command, { tx, saga, idempotencyKey, message: envelope }) => {
          await note(tx, `${saga === null} ${idempotencyKey === envelope.id}`);
          return reservation;
        }),
      ],
    });
    const byHand = sent({ headers: { tenant: 'acme' } });
    await stock.handle(byHand);
    await stock.handle(byHand);
    expect(await lab.notes()).toEqual(['true true']);
    expect(await lab.replies()).toEqual([]);
    expect(await lab.calls()).toEqual([]);
  });

  it('with headers that say no call is parked', async () => {
    const stock = lab.participant();
    await stock.handle(sent({ headers: { 'holdfast-saga': 'no uuid', 'holdfast-call': 'reserve' } }));
    await stock.handle(sent({ headers: { 'holdfast-saga': RUN } }));
    expect(await lab.notes()).toEqual([]);
    expect((await lab.parked()).map(({ error }) => error)).toEqual([
      expect.stringContaining('HF_ENVELOPE_INVALID'),
      expect.stringContaining('HF_ENVELOPE_INVALID'),
    ]);
  });

  it('gets idempotency key, call and a working send', async () => {
    const stock = lab.participant({
      handlers: [
        handle(Reserve, { reply: Reserved }, async (command, { send, saga, idempotencyKey, signal }) => {
          await send(Release, command, {
            headers: { key: idempotencyKey, call: saga?.call ?? '', gone: `${signal.aborted}` },
          });
          return reservation;
        }),
      ],
    });
    await stock.handle(sent());
    const { rows } = await lab.test.pool.query(
      `SELECT headers -> 'headers' AS headers FROM holdfast.outbox WHERE topic = 'stock.release'`,
    );
    expect(rows).toEqual([{ headers: { key: `${RUN}:reserve`, call: 'reserve', gone: 'false' } }]);
  });
});

describe('a definite no', () => {
  it.each([
    [
      'Rejection',
      () => new Rejection('sold out', { details: { left: 1 } }),
      { code: 'HF_REJECTED', details: { left: 1, reason: 'sold out' } },
    ],
    ['PermanentError', () => new PermanentError('never'), { code: 'HF_PERMANENT' }],
  ])('%s takes the writes back, is recorded, and answered in the same commit', async (name, make, error) => {
    const stock = lab.participant({
      handlers: [
        handle(Reserve, { reply: Reserved }, async (_command, { tx }) => {
          await note(tx, 'undone');
          throw make();
        }),
      ],
    });
    await stock.handle(sent());
    await stock.handle(sent());
    expect(await lab.notes()).toEqual([]);
    expect(await lab.parked()).toEqual([]);
    const refused = { runId: RUN, call: 'reserve', to: 'command', outcome: 'rejected', error: { name, ...error } };
    expect(await lab.replies()).toMatchObject([refused, refused]);
    expect(await lab.calls()).toMatchObject([{ state: 'rejected' }]);
  });

  it('after a failed statement, too', async () => {
    const stock = lab.participant({
      handlers: [
        handle(Reserve, async (_command, { tx }) => {
          await tx.query('SELECT 1 / 0').catch(() => {});
          throw new Rejection('no');
        }),
      ],
    });
    await stock.handle(sent());
    expect(await lab.replies()).toMatchObject([{ outcome: 'rejected' }]);
  });

  it('lets nothing through that the handler left running', async () => {
    let left: Promise<unknown> = Promise.resolve();
    const stock = lab.participant({
      handlers: [
        handle(Reserve, async (command, { tx, send }) => {
          const later = async (write: () => Promise<unknown>): Promise<unknown> => {
            await tx.query('SELECT 1');
            return write();
          };
          const branches = [later(() => note(tx, 'late')), later(() => send(Release, command)), send(Release, command)];
          left = Promise.allSettled(branches);
          throw new Rejection('no');
        }),
      ],
    });
    await unwarned(async () => void (await stock.handle(sent())));
    expect(await left).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }, {}]);
    expect(await lab.notes()).toEqual([]);
    const { rows } = await lab.test.pool.query('SELECT topic FROM holdfast.outbox');
    expect(rows).toEqual([{ topic: 'saga.reply' }]);
  });
});

describe('what is no answer', () => {
  it('any other error is retried, then parked; a redrive answers', async () => {
    let failures = 0;
    let works = false;
    const stock = lab.participant({
      retry: { attempts: 3 },
      parkedRetry: { attempts: 1, base: 0, cap: 0 },
      handlers: [
        handle(Reserve, { reply: Reserved }, async (_command, { tx }) => {
          await note(tx, 'tried');
          if (!works) throw new Error(`no ${(failures += 1)}`);
          return reservation;
        }),
      ],
    });
    await stock.handle(sent());
    expect(failures).toBe(3);
    expect(await lab.parked()).toHaveLength(1);
    expect([...(await lab.replies()), ...(await lab.calls())]).toEqual([]);
    works = true;
    await stock.tickParked();
    expect(await lab.notes()).toEqual(['tried']);
    expect(await lab.replies()).toEqual([answer]);
    expect(await lab.parked()).toEqual([]);
  });

  it('a parked command that is redriven behind its compensation is refused', async () => {
    let works = false;
    const stock = lab.participant({
      retry: { attempts: 1 },
      parkedRetry: { attempts: 1, base: 0, cap: 0 },
      handlers: [
        handle(Reserve, async (_command, { tx }) => {
          if (!works) throw new Error('no');
          await note(tx, 'too late');
        }),
        handle(Release, { compensates: Reserve }, () => {}),
      ],
    });
    await stock.handle(sent());
    await stock.handle(sent({ role: 'compensation' }));
    works = true;
    await stock.tickParked();
    expect(await lab.notes()).toEqual([]);
    expect(await lab.replies()).toMatchObject([
      compensated,
      { to: 'command', outcome: 'rejected', error: { code: 'HF_REJECTED' } },
    ]);
  });

  it.each([
    ['of another shape', { reservation: 7 }],
    ['that is no JSON', { reservation: 'r', at: new Date() }],
    ['that is missing', undefined],
  ])('a reply %s is a mistake: parked at once, nothing committed', async (_, value) => {
    const stock = lab.participant({
      handlers: [
        handle(Reserve, { reply: Reserved }, async (_command, { tx }) => {
          await note(tx, 'undone');
          return value as { reservation: string };
        }),
      ],
    });
    await stock.handle(sent());
    expect([...(await lab.notes()), ...(await lab.replies()), ...(await lab.calls())]).toEqual([]);
    expect(await lab.parked()).toMatchObject([
      { reason: 'permanent error', attempts: 1, error: expect.stringContaining('stock.reserved') as string },
    ]);
  });

  it('a swallowed SQL error is named', async () => {
    const stock = lab.participant({
      retry: { attempts: 1 },
      handlers: [handle(Reserve, async (_command, { tx }) => void (await tx.query('SELECT 1 / 0').catch(() => {})))],
    });
    await stock.handle(sent());
    expect((await lab.parked())[0]?.error).toContain('HF_TRANSACTION_ABORTED');
  });
});

describe('a compensation', () => {
  it('compensates what was done, once, with the command and the reply it gave', async () => {
    const stock = lab.participant();
    await stock.handle(sent());
    await stock.handle(sent({ role: 'compensation' }));
    await stock.handle(sent({ role: 'compensation' }));
    expect(await lab.notes()).toEqual(['reserve book', 'release book 2 r-2']);
    expect(await lab.replies()).toEqual([answer, compensated, compensated]);
    expect(await lab.calls()).toMatchObject([{ state: 'compensated' }]);
  });

  it('refuses its command, sent again afterwards', async () => {
    const stock = lab.participant();
    await stock.handle(sent());
    await stock.handle(sent({ role: 'compensation' }));
    await stock.handle(sent());
    expect(await lab.notes()).toHaveLength(2);
    expect((await lab.replies())[2]).toMatchObject({
      to: 'command',
      outcome: 'rejected',
      error: { name: 'Rejection', code: 'HF_REJECTED', details: { reason: 'compensated' } },
    });
  });

  it('that comes before its command leaves a tombstone, which the command meets', async () => {
    const stock = lab.participant();
    await stock.handle(sent({ role: 'compensation' }));
    await stock.handle(sent());
    await stock.handle(sent({ role: 'compensation' }));
    expect(await lab.notes()).toEqual([]);
    expect(await lab.replies()).toMatchObject([compensated, { to: 'command', outcome: 'rejected' }, compensated]);
    expect(await lab.calls()).toMatchObject([{ state: 'tombstone' }]);
  });

  it('has nothing to compensate of a refused command', async () => {
    const stock = lab.participant({
      handlers: [handle(Reserve, { reply: Reserved }, () => Promise.reject(new Rejection('no'))), release],
    });
    await stock.handle(sent());
    await stock.handle(sent({ role: 'compensation' }));
    expect(await lab.notes()).toEqual([]);
    expect(await lab.replies()).toMatchObject([{ outcome: 'rejected' }, compensated]);
    expect(await lab.calls()).toMatchObject([{ state: 'rejected' }]);
  });

  it('without a record is run with its payload alone, once, where the handler says so', async () => {
    const stock = lab.participant({ handlers: [reserve, { ...release, withoutRecord: 'compensate' }] });
    await stock.handle(sent({ role: 'compensation', outcome: 'done' }));
    await stock.handle(sent({ role: 'compensation', outcome: 'done' }));
    expect(await lab.notes()).toEqual(['release book ? ?']);
    expect(await lab.replies()).toEqual([compensated, compensated]);
    expect(await lab.calls()).toMatchObject([{ state: 'compensated' }]);
  });

  it('that is refused is answered so, leaves everything as it was, and can be tried again', async () => {
    let refuses = true;
    const stock = lab.participant({
      handlers: [
        reserve,
        handle(
          Release,
          { compensates: Reserve, withoutRecord: 'compensate' },
          async (_, { tx, idempotencyKey: key }) => {
            await note(tx, 'released');
            if (refuses) throw new Rejection(`shipped already: ${key}`);
          },
        ),
      ],
    });
    await stock.handle(sent());
    await stock.handle(sent({ role: 'compensation', outcome: 'done' }));
    await stock.handle(sent({ role: 'compensation', outcome: 'done', call: 'unseen' }));
    expect(await lab.notes()).toEqual(['reserve book']);
    expect((await lab.replies()).slice(1)).toMatchObject([
      { to: 'compensation', outcome: 'rejected', error: { message: `shipped already: ${RUN}:reserve:undo` } },
      { call: 'unseen', outcome: 'rejected' },
    ]);
    expect(await lab.calls()).toMatchObject([{ call: 'reserve', state: 'done' }]);
    refuses = false;
    await stock.handle(sent({ role: 'compensation', outcome: 'done' }));
    expect(await lab.notes()).toEqual(['reserve book', 'released']);
    expect(await lab.calls()).toMatchObject([{ state: 'compensated' }]);
  });

  it('reads a record of older versions with the upcasts of today', async () => {
    const old = lab.participant();
    await old.handle(sent());
    const ReserveNow = message('stock.reserve', {
      schema: z.object({ item: z.string() }),
      version: 2,
      upcast: { 1: (was) => ({ item: (was as { sku: string }).sku }) },
    });
    const ReservedNow = message('stock.reserved', {
      schema: z.object({ id: z.string() }),
      version: 2,
      upcast: { 1: (was) => ({ id: (was as { reservation: string }).reservation }) },
    });
    const now = lab.participant({
      handlers: [
        handle(ReserveNow, { reply: ReservedNow }, () => ({ id: 'x' })),
        handle(Release, { compensates: ReserveNow, reply: ReservedNow }, async (_release, { tx, command, reply }) => {
          await note(tx, `${command?.item} ${reply?.id}`);
        }),
      ],
    });
    await now.handle(sent({ role: 'compensation' }));
    expect(await lab.notes()).toEqual(['reserve book', 'book r-2']);
  });

  it('is not taken for a command where it is handled as one, nor compensated by what compensates another', async () => {
    const Other = message('stock.count', { schema: z.object({}) });
    const Recount = message('stock.recount', { schema: z.object({}) });
    const stock = lab.participant({
      handlers: [
        ...stockHandlers,
        handle(Other, async (_c, { tx }) => note(tx, 'count')),
        handle(Recount, { compensates: Other }, () => {}),
      ],
    });
    await stock.handle(sent());
    await stock.handle(sent({ role: 'compensation', type: 'stock.count', data: {} }));
    await stock.handle(sent({ role: 'compensation', type: 'stock.recount', data: {} }));
    await stock.handle(sent({ type: 'stock.count', data: {} }));
    expect(await lab.notes()).toEqual(['reserve book']);
    const refused = { outcome: 'rejected', error: { code: 'HF_SAGA_DEFINITION' } };
    expect((await lab.replies()).slice(1)).toMatchObject([refused, refused, refused]);
    expect(await lab.calls()).toMatchObject([{ state: 'done' }]);
  });

  it('by hand runs with what its payload tells, where the handler says so', async () => {
    const handlers = [reserve, { ...release, withoutRecord: 'compensate' as const }];
    await lab.participant({ handlers }).handle(sent({ type: 'stock.release', headers: {} }));
    expect(await lab.notes()).toEqual(['release book ? ?']);
    expect(await lab.replies()).toEqual([]);
  });
});
