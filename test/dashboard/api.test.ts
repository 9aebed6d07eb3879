/** The service API on a real database: what it answers, what acts leave behind, and what it keeps to itself. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { failureOf } from '../../src/dashboard/server/failure.ts';
import type { DashboardParts } from '../../src/dashboard/server/parts.ts';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { emptySagas, runMessagesOf, seedRun, seedWorker, STUCK_UNDOING } from '../operations/saga-lab.ts';
import { ask, authenticator, useDashboardLab } from './server-lab.ts';

const lab = useDashboardLab();
const outbox = createOutbox();
const Note = message('note.taken', { schema: z.object({ n: z.number() }), key: ({ n }) => `k-${n}` });
let parts: DashboardParts;
beforeAll(() => {
  parts = lab.open();
});
beforeEach(async () => {
  await lab.database.query('TRUNCATE holdfast.outbox, holdfast.parked_delivery, holdfast.audit RESTART IDENTITY');
  await emptySagas(lab.database);
});

const write = (count: number) =>
  lab.database.transaction(async (tx) => {
    const ids: string[] = [];
    for (let n = 0; n < count; n += 1) ids.push((await outbox.send(tx, Note, { n })).id);
    return ids;
  });
const park = (id: string, consumer = 'billing') =>
  lab.database.query(
    `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, envelope, state, reason, error, attempts)
     VALUES ($1, $2, 'note.taken', '{"data": {"secret": "x-9"}}', 'failed', 'gave up', 'Error: no', 5)`,
    [consumer, id],
  );
const audit = async () =>
  (await lab.database.query('SELECT actor, action, subject, reason FROM holdfast.audit ORDER BY id')).rows;
const itemsOf = (json: Readonly<Record<string, unknown>>) => json['items'] as readonly Record<string, unknown>[];

describe('lists', () => {
  it('come in pages, whose cursors lead on to the end', async () => {
    const ids = await write(5);
    const seen: unknown[] = [];
    let cursor: string | null = null;
    do {
      const { status, json } = await ask(parts, `/api/messages?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`);
      expect(status).toBe(200);
      seen.push(...itemsOf(json).map(({ id }) => id));
      cursor = json['older'] as string | null;
    } while (cursor !== null);
    expect(seen).toEqual(ids.toReversed());
  });

  it('are narrowed as the query says', async () => {
    const [first] = await write(3);
    const found = await ask(parts, '/api/messages?key=k-0&topic=note.*&since=1h');
    expect(itemsOf(found.json).map(({ id }) => id)).toEqual([first]);
    expect(itemsOf((await ask(parts, '/api/messages?until=2020-01-01')).json)).toEqual([]);
  });

  it.each([
    '/api/messages?limit=0',
    '/api/messages?limit=100000',
    '/api/messages?limit=x',
    '/api/messages?cursor=1;DROP',
    '/api/messages?since=yesterday',
    '/api/messages?topics=a',
    '/api/messages?topic=%2A%2A%2A',
    '/api/messages?key=',
    '/api/messages/no-id',
    '/api/runs?status=asleep',
    '/api/runs?cursor=no-id',
    '/api/runs/no-id',
    '/api/parked?state=well',
    '/api/audit?cursor=x',
  ])('refuse %s', async (path) => {
    const { status, json } = await ask(parts, path);
    expect({ path, status }).toEqual({ path, status: 400 });
    expect(json).toEqual({ code: expect.any(String), message: expect.any(String), advice: expect.any(String) });
    expect(JSON.stringify(json)).not.toMatch(/select|syntax|invalid input syntax/i);
  });

  it('of runs, workers, subscriptions and sagas are there', async () => {
    await seedWorker(lab.database, 'w-1');
    const id = await seedRun(lab.database, { key: 'o-1' });
    await seedRun(lab.database, { saga: 'other', status: 'completed' });
    const [runs, filtered, workers, subscriptions, sagas] = await Promise.all(
      [
        '/api/runs',
        '/api/runs?saga=place-order&status=running,stuck',
        '/api/workers',
        '/api/subscriptions',
        '/api/sagas',
      ].map((path) => ask(parts, path)),
    );
    expect(itemsOf(runs!.json)).toHaveLength(2);
    expect(itemsOf(filtered!.json)).toEqual([expect.objectContaining({ id, key: 'o-1', status: 'running' })]);
    expect(itemsOf(workers!.json)).toEqual([expect.objectContaining({ name: 'w-1', live: true })]);
    expect(itemsOf(subscriptions!.json)).toEqual([]);
    expect(sagas!.json).toEqual({ known: false, items: [] });
  });
});

describe('one', () => {
  it('message is shown whole, and one that is not there is not', async () => {
    const [id] = await write(1);
    const { json } = await ask(parts, `/api/messages/${id}`);
    expect(json).toMatchObject({ id, envelope: { data: { n: 0 } }, subscriptions: [], consumers: [] });
    const gone = await ask(parts, '/api/messages/00000000-0000-7000-8000-000000000000');
    expect(gone).toMatchObject({ status: 404, json: { code: 'HF_NOT_FOUND' } });
  });

  it('run is shown as a story, with the ways out of what it is stuck at', async () => {
    const id = await seedRun(lab.database, STUCK_UNDOING);
    const { status, json } = await ask(parts, `/api/runs/${id}`);
    expect(status).toBe(200);
    expect(json).toMatchObject({
      run: { id, status: 'stuck' },
      timeline: {
        calls: [
          { call: 'charge', state: 'done' },
          { call: 'ship', state: 'failed' },
        ],
        compensations: [{ call: 'charge', state: 'gave up' }],
        stuck: { call: 'charge', advice: { ways: expect.arrayContaining([]) } },
      },
    });
    expect(json).not.toHaveProperty('journal');
  });

  it('saga is drawn from what its code declares', async () => {
    const flow = saga({
      name: 'flow',
      input: z.object({}),
      signals: { paid: z.object({}) },
      steps: { charge: step({ run: async () => null, compensate: async () => undefined, timeout: '20s' }) },
      run: async () => null,
    });
    const { json } = await ask(lab.open({ sagas: [flow] }), '/api/sagas');
    expect(json).toEqual({
      known: true,
      items: [
        {
          name: 'flow',
          version: 1,
          deadlineMs: null,
          concurrency: null,
          signals: ['paid'],
          steps: [
            {
              name: 'charge',
              kind: 'step',
              pivot: false,
              compensated: true,
              topic: null,
              child: null,
              budget: { attempts: 5, withinMs: 60_000, timeoutMs: 20_000 },
            },
          ],
        },
      ],
    });
  });
});

describe('acts', () => {
  it('on what is parked leave their rows, under the name of who asked, and say the command', async () => {
    const [a = '', b = ''] = await write(2);
    await Promise.all([park(a), park(b)]);
    const retried = await ask(parts, '/api/parked/retry', {
      body: { selection: { id: a, consumer: 'billing' }, reason: "it's back" },
    });
    expect(retried).toMatchObject({
      status: 200,
      json: {
        places: [{ kind: 'consumer', where: 'billing', retried: 1 }],
        command: String.raw`holdfast parked retry ${a} --consumer billing --reason 'it'\''s back'`,
      },
    });
    const discarded = await ask(parts, '/api/parked/discard', {
      body: { selection: { id: b }, reason: 'a test' },
    });
    expect(discarded.json).toMatchObject({
      discarded: { id: b },
      command: `holdfast parked discard ${b} --reason 'a test'`,
    });
    expect(await audit()).toEqual([
      { actor: 'dashboard:otto', action: 'parked.retry', subject: `billing/${a}`, reason: "it's back" },
      { actor: 'dashboard:otto', action: 'parked.discard', subject: `billing/${b}`, reason: 'a test' },
    ]);
    const { json } = await ask(parts, '/api/audit?limit=1');
    expect(itemsOf(json)).toEqual([expect.objectContaining({ action: 'parked.discard', actor: 'dashboard:otto' })]);
    expect(itemsOf((await ask(parts, `/api/audit?cursor=${String(json['next'])}`)).json)).toHaveLength(1);
    expect(itemsOf((await ask(parts, '/api/parked')).json).map(({ id }) => id)).toEqual([a]);
  });

  it('on runs become run messages, each with its row', async () => {
    const stuck = await seedRun(lab.database, STUCK_UNDOING);
    const running = await seedRun(lab.database);
    const body = { reason: 'the bank is back' };
    const answers = [
      await ask(parts, `/api/runs/${running}/signal`, { body: { ...body, name: 'paid', payload: { by: 'ada' } } }),
      await ask(parts, `/api/runs/${running}/cancel`, { body }),
      await ask(parts, `/api/runs/${stuck}/skip`, { body: { ...body, call: 'charge' } }),
      await ask(parts, `/api/runs/${stuck}/resolve`, { body: { ...body, as: 'compensated' } }),
      await ask(parts, `/api/runs/${stuck}/retry`, { body }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    const why = "--reason 'the bank is back'";
    expect(answers.map(({ json }) => json['command'])).toEqual([
      `holdfast saga signal ${running} paid --payload '{"by":"ada"}' ${why}`,
      `holdfast saga cancel ${running} ${why}`,
      `holdfast saga skip ${stuck} charge ${why}`,
      `holdfast saga resolve ${stuck} --as compensated ${why}`,
      `holdfast saga retry ${stuck} ${why}`,
    ]);
    expect((await runMessagesOf(lab.database)).map(({ kind }) => kind)).toEqual([
      'signal',
      'cancel',
      'skip',
      'resolve',
      'retry',
    ]);
    expect(new Set((await audit()).map(({ actor, reason }) => `${actor} ${reason}`))).toEqual(
      new Set(['dashboard:otto the bank is back']),
    );
    const ended = await seedRun(lab.database, { status: 'completed' });
    expect(await ask(parts, `/api/runs/${ended}/cancel`, { body })).toMatchObject({
      status: 409,
      json: { code: 'HF_SAGA_FINISHED' },
    });
  });

  it.each([
    ['no JSON', '{"reason": ', 400],
    ['nothing', '', 400],
    ['what nobody knows', { reason: 'x', force: true }, 400],
    ['a number that would be altered', '{"reason":"x","payload":12345678901234567890}', 400],
    ['what is far too large', { reason: 'x', payload: 'y'.repeat(1_100_000) }, 413],
    ['a list', [], 400],
    ['null', 'null', 400],
  ])('refuse %s, and write nothing', async (_, body, expected) => {
    const id = await seedRun(lab.database);
    const { status, json } = await ask(parts, `/api/runs/${id}/signal`, { body });
    expect({ status, keys: Object.keys(json) }).toEqual({ status: expected, keys: ['code', 'message', 'advice'] });
    expect(await runMessagesOf(lab.database)).toEqual([]);
    expect(await audit()).toEqual([]);
  });

  it('want JSON that says it is', async () => {
    const id = await seedRun(lab.database);
    const { status } = await ask(parts, `/api/runs/${id}/cancel`, {
      body: '{"reason":"x"}',
      headers: { 'content-type': 'text/plain' },
    });
    expect(status).toBe(415);
  });
});

describe('hidden payloads', () => {
  it('are shown nowhere but to who asks for them with a reason, which is recorded', async () => {
    const hidden = lab.open({ hidePayloads: true });
    const [id = ''] = await write(1);
    await park(id);
    const run = await seedRun(lab.database, {
      journal: [
        [
          { t: 'started', input: { card: 'x-1' } },
          { t: 'called', call: 'charge', kind: 'step', step: 'charge', input: { card: 'x-2' } },
          { t: 'signal', name: 'paid', payload: { card: 'x-3' } },
        ],
        [{ t: 'done', call: 'charge', output: { card: 'x-4' } }],
      ],
    });
    await lab.database.query(
      `INSERT INTO holdfast.saga_mail (saga_id, saga, version, kind, body) SELECT id, saga, version, 'signal', '{"card":"x-5"}' FROM holdfast.saga_run WHERE id = $1`,
      [run],
    );
    const looks = [`/api/messages/${id}`, `/api/parked/${id}`, `/api/runs/${run}`];
    for (const path of looks) {
      const { status, json } = await ask(hidden, path, { as: 'admin' });
      expect(status).toBe(200);
      expect(JSON.stringify(json)).not.toMatch(/x-\d|"n":0/);
      expect(JSON.stringify(json)).toMatch(/"hidden":true/);
      const asked = await ask(hidden, `${path}/reveal`, { body: { reason: 'the customer called' } });
      expect(JSON.stringify(asked.json)).toMatch(/x-\d|"n":0/);
    }
    expect(await ask(hidden, `${looks[0]}/reveal`, { as: 'viewer', body: { reason: 'x' } })).toMatchObject({
      status: 403,
    });
    expect(await audit()).toEqual(
      [id, id, run].map((subject) => ({
        actor: 'dashboard:otto',
        action: 'payload.reveal',
        subject,
        reason: 'the customer called',
      })),
    );
    expect((await ask(hidden, '/api/session')).json).toMatchObject({ redact: true });
  });
});

describe('fields that are redacted', () => {
  it('are shown to nobody, asked for or not', async () => {
    const redacting = lab.open({ redact: ['n', 'secret', '**.card'] });
    const [id = ''] = await write(1);
    await park(id);
    const run = await seedRun(lab.database, {
      status: 'stuck',
      error: { name: 'Error', message: 'no', details: { card: 'x-0' } },
      journal: [
        [
          { t: 'started', input: { card: 'x-1', city: 'Riga' } },
          { t: 'called', call: 'charge', kind: 'step', step: 'charge', input: { card: 'x-2' } },
        ],
        [{ t: 'done', call: 'charge', output: { card: 'x-4' } }],
      ],
    });
    const looks = [`/api/messages/${id}`, `/api/parked/${id}`, `/api/runs/${run}`];
    for (const path of [...looks, '/api/runs']) {
      const { json } = await ask(redacting, path, { as: 'admin' });
      expect(JSON.stringify(json)).not.toMatch(/x-\d|"n":0/);
      expect(JSON.stringify(json)).toMatch(/\[redacted\]/);
    }
    for (const path of looks) {
      const { status, json } = await ask(redacting, `${path}/reveal`, { as: 'admin', body: { reason: 'why not' } });
      expect(status).toBe(200);
      expect(JSON.stringify(json)).not.toMatch(/x-\d|"n":0/);
    }
    expect(JSON.stringify((await ask(redacting, `/api/runs/${run}`)).json)).toMatch(/Riga/);
  });
});

describe('trouble', () => {
  it('of the database is told without what the database says', async () => {
    const nowhere = openDatabase({ url: 'postgres://eve:secret@127.0.0.1:1/nowhere' });
    const empty = openDatabase({ url: lab.url, schema: 'not_there' });
    for (const [database, code] of [
      [nowhere, 'HF_DATABASE_UNAVAILABLE'],
      [empty, 'HF_SCHEMA_MISSING'],
    ] as const) {
      const troubled = lab.open({ database, authenticators: [authenticator] });
      for (const path of ['/api/overview', '/api/messages', '/api/runs']) {
        const { status, json } = await ask(troubled, path);
        expect({ path, status, code: json['code'] }).toEqual({ path, status: 503, code });
        expect(JSON.stringify(json)).not.toMatch(/eve|secret|127\.0\.0\.1|relation|not_there|select/i);
      }
      expect((await ask(troubled, '/livez', { as: null })).status).toBe(200);
      expect((await ask(troubled, '/api/session')).status).toBe(200);
    }
    await Promise.all([nowhere.close(), empty.close()]);
  });

  it('of reads that take too long is told as such', async () => {
    const limits = await Promise.all(
      [parts.databases.get('main')!.reads, parts.databases.get('main')!.acts].map((each) =>
        each.query('SHOW statement_timeout'),
      ),
    );
    expect(limits.map(({ rows }) => rows)).toEqual([[{ statement_timeout: '10s' }], [{ statement_timeout: '1min' }]]);
    const error = Object.assign(new Error('canceling statement due to statement timeout'), { code: '57014' });
    expect(failureOf(error)).toMatchObject({ status: 503, body: { code: 'HF_OVERLOADED' } });
  });
});

it('the overview and the doctor answer', async () => {
  await write(3);
  await seedRun(lab.database, STUCK_UNDOING);
  const { json } = await ask(parts, '/api/overview');
  expect(json).toMatchObject({
    at: expect.stringMatching(/^\d{4}-.*Z$/),
    relay: { log: { newestSeq: 3 } },
    sagas: { stuck: [{ saga: 'place-order', runs: 1 }] },
    history: [{ lag: 0, runs: { stuck: 1 } }],
  });
  expect((await ask(parts, '/api/doctor')).json).toMatchObject({ findings: expect.any(Array) });
});
