/** What the service API mends by the hundred: groups, acts on many as jobs, and new versions of messages, on a real database. */
import { randomUUID } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DashboardParts } from '../../src/dashboard/server/parts.ts';
import { startJob } from '../../src/operations/jobs/jobs.ts';
import { runJob } from '../../src/operations/jobs/job-runner.ts';
import { wire } from '../inbox/lab.ts';
import { emptySagas, runMessagesOf, seedRun, STUCK_UNDOING } from '../operations/saga-lab.ts';
import { eventually } from '../support/eventually.ts';
import { ask, useDashboardLab, type Answer } from './server-lab.ts';

const lab = useDashboardLab();
let parts: DashboardParts;
beforeAll(() => {
  parts = lab.open();
});
beforeEach(async () => {
  await lab.database.query(
    `TRUNCATE holdfast.parked_message, holdfast.parked_delivery, holdfast.inbox, holdfast.operation_job, holdfast.audit
     RESTART IDENTITY`,
  );
  await emptySagas(lab.database);
});

interface Parking {
  readonly error?: string;
  readonly topic?: string;
  readonly data?: unknown;
  readonly key?: string;
}
async function park(count: number, { error = 'Error: no', topic = 'note.taken', data = { n: 7 }, key }: Parking = {}) {
  const ids = Array.from({ length: count }, () => randomUUID());
  for (const [n, id] of ids.entries()) {
    await lab.database.query(
      `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, key, envelope, state, reason, error, attempts)
       VALUES ('billing', $1, $2, $3, $4::text::jsonb, 'failed', 'gave up', $5, 5)`,
      [id, topic, key ?? `k-${n}`, wire({ id, key: key ?? `k-${n}`, type: topic, data }).text, error],
    );
  }
  return ids;
}
const due = async () =>
  Number(
    (
      await lab.database.query<{ n: string }>(
        'SELECT count(*)::text AS n FROM holdfast.parked_delivery WHERE next_attempt_at IS NOT NULL',
      )
    ).rows[0]?.n,
  );
const audit = async () =>
  (await lab.database.query('SELECT actor, action, subject, reason, details FROM holdfast.audit ORDER BY id')).rows;
const jobOf = ({ json }: Answer) => json['job'] as Readonly<Record<string, unknown>>;
const itemsOf = ({ json }: Answer) => json['items'] as readonly Readonly<Record<string, unknown>>[];
const ended = (id: unknown, state = 'done') =>
  eventually(`job to be ${state}`, async () => (await ask(parts, `/api/jobs/${String(id)}`)).json['state'] === state);
const FOR_ALL = { reason: 'the bug is mended' };

describe('parked messages', () => {
  it('come in pages, whose cursors lead on to the end', async () => {
    await park(7);
    await lab.database.query(
      `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, lane, state, reason)
       SELECT 'a:b', n, gen_random_uuid(), 'note.taken', 0, 'failed', 'refused' FROM generate_series(1, 4) AS n`,
    );
    const seen: unknown[] = [];
    let cursor: string | null = null;
    let pages = 0;
    do {
      const next = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const answer = await ask(parts, `/api/parked?limit=2${next}`);
      expect(answer.status).toBe(200);
      seen.push(...itemsOf(answer).map(({ id }) => id));
      cursor = answer.json['next'] as string | null;
      pages += 1;
    } while (cursor !== null);
    expect({ pages, seen: new Set(seen).size, all: seen.length }).toEqual({ pages: 6, seen: 11, all: 11 });
    for (const wrong of ['x', 'relay:1:x:main', 'broker:1:0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f:main']) {
      expect((await ask(parts, `/api/parked?cursor=${wrong}`)).status).toBe(400);
    }
  });

  it('are grouped by error', async () => {
    await park(3, { error: 'Error: order 1 is too big' });
    await park(2, { error: 'Error: order 1 is unknown' });
    const fresh = lab.open();
    const look = () => ask(fresh, '/api/parked/groups?consumer=billing', { as: 'viewer' });
    const first = await look();
    expect(first.json).toMatchObject({ messages: 5, total: 2, groups: [{ messages: 3 }, { messages: 2 }] });
    expect((await ask(fresh, '/api/parked/groups?topic=other.*')).json).toMatchObject({ messages: 0, groups: [] });
    expect((await ask(fresh, '/api/parked/groups?bucket=soon')).status).toBe(400);
    const [{ id }] = first.json['groups'] as [{ id: string }];
    expect(itemsOf(await ask(fresh, `/api/parked?group=${encodeURIComponent(id)}`))).toHaveLength(3);
  });
});

describe('an act on many', () => {
  it('is counted and shown first, then done as a job that the server works off, with its rows in the audit', async () => {
    const wanted = await park(130, { error: 'Error: order 1 is too big' });
    await park(2, { error: 'Error: order 1 is unknown' });
    const found = await ask(parts, '/api/parked/groups');
    const [{ id: group }] = found.json['groups'] as [{ id: string }];
    const asked = { act: 'retry', select: { group } };
    const plan = await ask(parts, '/api/parked/plan', { body: asked });
    expect(plan).toMatchObject({ status: 200, json: { count: 130, atLeast: false, parked: [{ messages: 130 }] } });
    expect(await due()).toBe(0);
    expect(await audit()).toEqual([]);
    const started = await ask(parts, '/api/parked/act', { body: { ...asked, expect: 130, ...FOR_ALL } });
    expect(started).toMatchObject({ status: 200 });
    expect(started.json['command']).toBe(
      `holdfast parked retry --group ${group} --yes --expect 130 --reason 'the bug is mended'`,
    );
    const { id } = jobOf(started);
    await ended(id);
    expect((await ask(parts, `/api/jobs/${String(id)}`)).json).toMatchObject({
      done: 130,
      planned: 130,
      actor: 'dashboard:otto',
      rate: 500,
    });
    expect(await due()).toBe(130);
    const [start, ...acts] = await audit();
    expect(start).toMatchObject({ actor: 'dashboard:otto', action: 'job.start', subject: id, reason: FOR_ALL.reason });
    expect(acts.flatMap(({ details }) => (details as { ids: string[] }).ids).toSorted()).toEqual(wanted.toSorted());
    expect(new Set(acts.map(({ actor, action }) => `${actor} ${action}`))).toEqual(
      new Set(['dashboard:otto parked.retry']),
    );
  });

  it('is refused when there are far more than were shown, and without a number, a reason or the role', async () => {
    await park(30);
    const asked = { act: 'discard', select: {} };
    const act = (body: object, as?: 'viewer') =>
      ask(parts, '/api/parked/act', { body, ...(as === undefined ? {} : { as }) });
    expect(await act({ ...asked, expect: 19, ...FOR_ALL })).toMatchObject({
      status: 400,
      json: { code: 'HF_CONFIG', message: expect.stringContaining('30 now') as string },
    });
    expect((await act({ ...asked, ...FOR_ALL })).status).toBe(400);
    expect((await act({ ...asked, expect: 30 })).status).toBe(400);
    expect((await act({ ...asked, expect: 30, rate: 0, ...FOR_ALL })).status).toBe(400);
    expect((await act({ ...asked, expect: 30, withoutPredecessor: true, ...FOR_ALL })).status).toBe(400);
    expect((await act({ act: 'discard', select: { topics: 'x' }, expect: 30, ...FOR_ALL })).status).toBe(400);
    expect((await act({ ...asked, expect: 30, ...FOR_ALL }, 'viewer')).status).toBe(403);
    expect((await ask(parts, '/api/parked/plan', { body: asked, as: 'viewer' })).status).toBe(403);
    expect(itemsOf(await ask(parts, '/api/jobs'))).toEqual([]);
    expect(await audit()).toEqual([]);
  });

  it('is told to all who look while it is open, can be aborted, and what is done stays done', async () => {
    await park(40);
    const started = await ask(parts, '/api/parked/act', {
      body: { act: 'discard', select: { consumer: 'billing' }, expect: 40, rate: 2, ...FOR_ALL },
    });
    const { id } = jobOf(started);
    await eventually('it to be told', async () => {
      const jobs = (await ask(parts, '/api/overview')).json['jobs'] as readonly Record<string, unknown>[];
      return jobs.some((job) => job['id'] === id && job['planned'] === 40 && Number(job['done']) > 0);
    });
    expect(itemsOf(await ask(parts, '/api/jobs?state=open'))).toMatchObject([
      { id, runner: expect.stringMatching(/^dashboard on /) as string },
    ]);
    const resumed = await ask(parts, `/api/jobs/${String(id)}/resume`, { body: { reason: 'why not' } });
    expect(resumed).toMatchObject({ status: 409, json: { code: 'HF_LEASE_LOST' } });
    const aborted = await ask(parts, `/api/jobs/${String(id)}/abort`, { body: { reason: 'the wrong consumer' } });
    expect(aborted.json['command']).toBe(`holdfast job abort ${String(id)} --reason 'the wrong consumer'`);
    const { done } = (await ask(parts, `/api/jobs/${String(id)}`)).json as { done: number };
    expect(done).toBeLessThan(40);
    const { rows } = await lab.database.query('SELECT 1 FROM holdfast.parked_delivery');
    expect(rows).toHaveLength(40 - done);
    expect((await audit()).at(-1)).toMatchObject({ action: 'job.abort', subject: id, reason: 'the wrong consumer' });
    await eventually('nobody to be told any more', async () => {
      const jobs = (await ask(parts, '/api/overview')).json['jobs'] as readonly unknown[];
      return jobs.length === 0;
    });
  });

  it('on runs is for those that match, each as if it were acted on alone', async () => {
    const stuck = [await seedRun(lab.database, STUCK_UNDOING), await seedRun(lab.database, STUCK_UNDOING)];
    const running = await seedRun(lab.database);
    await seedRun(lab.database, { ...STUCK_UNDOING, saga: 'other' });
    const select = { saga: 'place-order' };
    const plan = await ask(parts, '/api/runs/plan', { body: { act: 'resolve', select } });
    expect(plan.json).toMatchObject({ count: 2, runs: [{ saga: 'place-order', runs: 2, error: 'HF_PERMANENT' }] });
    const body = { act: 'resolve', select, resolution: { as: 'compensated' }, expect: 2, rate: null, ...FOR_ALL };
    const started = await ask(parts, '/api/runs/act', { body });
    expect(started.json['command']).toBe(
      "holdfast saga resolve --all --saga place-order --as compensated --yes --expect 2 --rate max --reason 'the bug is mended'",
    );
    await ended(jobOf(started)['id']);
    const resolved = (await audit()).filter(({ action }) => action === 'saga.resolve');
    expect(resolved.map(({ subject }) => subject as string).toSorted()).toEqual(stuck.toSorted());
    expect((await runMessagesOf(lab.database)).map(({ kind }) => kind)).toEqual(['resolve', 'resolve']);
    const cancel = { act: 'cancel', select: { ...select, status: ['running'] }, expect: 1, ...FOR_ALL };
    const cancelled = await ask(parts, '/api/runs/act', { body: cancel });
    expect(cancelled.json['command']).toContain('saga cancel --all --saga place-order --status running --yes');
    await ended(jobOf(cancelled)['id']);
    expect((await audit()).at(-1)).toMatchObject({ action: 'saga.cancel', subject: running });
    for (const wrong of [
      { act: 'resolve', select, expect: 2, ...FOR_ALL },
      { act: 'retry', select, resolution: { as: 'done' }, expect: 2, ...FOR_ALL },
      { act: 'retry', select: { ...select, status: ['running'] }, expect: 2, ...FOR_ALL },
    ])
      expect((await ask(parts, '/api/runs/act', { body: wrong })).status).toBe(400);
  });

  it('keeps the output that it resolves runs with from those who may not see payloads', async () => {
    await seedRun(lab.database, STUCK_UNDOING);
    const resolution = { as: 'done', output: { card: 'x-1' } };
    const body = { act: 'resolve', select: {}, resolution, expect: 1, ...FOR_ALL };
    await ended(jobOf(await ask(parts, '/api/runs/act', { body }))['id']);
    const hidden = lab.open({ hidePayloads: true });
    const redacting = lab.open({ redact: ['card'] });
    expect(JSON.stringify((await ask(parts, '/api/jobs')).json)).toContain('x-1');
    for (const each of [hidden, redacting]) {
      expect(JSON.stringify((await ask(each, '/api/jobs')).json)).not.toContain('x-1');
      expect(JSON.stringify((await ask(each, '/api/audit')).json)).not.toContain('x-1');
    }
  });
});

describe('a job that nobody works on', () => {
  it('is gone on with when its process died or handed it over, and not when a person has stopped it', async () => {
    await park(6);
    const start = (actor: string) =>
      startJob(lab.database, { kind: 'parked.retry', select: {} }, { actor, reason: 'x', rate: null });
    const stopped = AbortSignal.abort();
    const died = await start('anna');
    await lab.database.query(
      `UPDATE holdfast.operation_job SET lease_owner = 'gone', lease_epoch = 1, lease_until = now() - interval '1 second' WHERE id = $1`,
      [died.id],
    );
    const neverBegun = await start('dashboard:otto');
    const handedOver = await start('anna');
    await runJob(lab.database, handedOver.id, { signal: stopped, handOver: true });
    const paused = await start('anna');
    await runJob(lab.database, paused.id, { signal: stopped });
    const fresh = lab.open();
    for (const { id } of [died, neverBegun, handedOver]) await ended(id);
    const open = itemsOf(await ask(fresh, '/api/jobs?state=open'));
    expect(open.map(({ id, runner }) => ({ id, runner }))).toEqual([{ id: paused.id, runner: null }]);
    const resumed = await ask(fresh, `/api/jobs/${paused.id}/resume`, { body: { reason: 'it was the right group' } });
    expect(resumed).toMatchObject({ status: 200, json: { command: `holdfast job resume ${paused.id}` } });
    await ended(paused.id);
    expect((await audit()).filter(({ action }) => action === 'job.resume')).toMatchObject([
      { actor: 'dashboard:otto', subject: paused.id, reason: 'it was the right group' },
    ]);
  });

  it('is handed over when the dashboard stops, and the next one goes on with it', async () => {
    await park(20);
    const first = lab.open();
    const started = await ask(first, '/api/parked/act', {
      body: { act: 'discard', select: {}, expect: 20, rate: 4, ...FOR_ALL },
    });
    const { id } = jobOf(started);
    await eventually('it to begin', async () => Number((await ask(parts, `/api/jobs/${String(id)}`)).json['done']) > 0);
    await first.close();
    const { rows } = await lab.database.query('SELECT 1 FROM holdfast.parked_delivery');
    expect(rows.length).toBeGreaterThan(0);
    lab.open();
    await eventually(
      'it to be done',
      async () => (await ask(parts, `/api/jobs/${String(id)}`)).json['state'] === 'done',
    );
    expect((await audit()).filter(({ action }) => action === 'parked.discard')).toHaveLength(20);
  });
});

describe('an edited message', () => {
  const edit = (id: string, body: object, of: DashboardParts = parts) => ask(of, `/api/parked/${id}/revise`, { body });
  const preview = (id: string, body: object, of: DashboardParts = parts) =>
    ask(of, `/api/parked/${id}/revise/preview`, { body });
  const dataOf = async (id: string) =>
    ((await ask(parts, `/api/parked/${id}`)).json['places'] as readonly { data: unknown }[])[0]?.data;

  it('is shown before it is sent, and takes the place of the old one', async () => {
    const [id = ''] = await park(1, { data: { n: 500, who: 'me' }, key: 'k' });
    const shown = await preview(id, { patch: { n: 5 } });
    expect(shown).toMatchObject({
      status: 200,
      json: {
        kind: 'consumer',
        where: 'billing',
        before: { n: 500, who: 'me' },
        after: { n: 5, who: 'me' },
        exact: true,
      },
    });
    expect(await dataOf(id)).toEqual({ n: 500, who: 'me' });
    expect(await audit()).toEqual([]);
    const done = await edit(id, { patch: { n: 5 }, reason: 'cents for euros' });
    expect(done.json['command']).toBe(`holdfast parked edit ${id} --patch '{"n":5}' --yes --reason 'cents for euros'`);
    const { revised } = done.json as { revised: { id: string; replaces: string } };
    expect(revised.replaces).toBe(id);
    expect(await dataOf(revised.id)).toEqual({ n: 5, who: 'me' });
    expect((await ask(parts, `/api/parked/${id}`)).status).toBe(404);
    expect(await audit()).toMatchObject([
      { actor: 'dashboard:otto', action: 'parked.revise', subject: `billing/${id}`, reason: 'cents for euros' },
    ]);
    expect((await edit(revised.id, { payload: null, reason: 'x' })).status).toBe(200);
  });

  it('that a relay has parked keeps its id, and its place in the log', async () => {
    const { rows } = await lab.database.query<{ id: string }>(
      `SELECT holdfast.send('note.taken', '{"n": 500, "card": "x-1"}')::text AS id`,
    );
    const id = rows[0]?.id ?? '';
    await lab.database.query(
      `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, lane, state, reason)
       SELECT 'a:b', seq, id, topic, lane, 'failed', 'refused' FROM holdfast.outbox WHERE id = $1`,
      [id],
    );
    const redacting = lab.open({ redact: ['**.card'] });
    const body = { subscription: 'a:b', patch: { n: 5 } };
    expect((await preview(id, body, redacting)).json).toMatchObject({
      kind: 'relay',
      where: 'a:b',
      before: { n: 500, card: '[redacted]' },
      after: { n: 5, card: '[redacted]' },
      inDoubt: false,
    });
    expect((await edit(id, { subscription: 'a:b', payload: { n: 5 }, reason: 'x' }, redacting)).status).toBe(400);
    const done = await edit(id, { ...body, reason: 'cents' }, redacting);
    expect(done.json).toMatchObject({
      revised: { id, replaces: id },
      command: `holdfast parked edit ${id} --subscription a:b --patch '{"n":5}' --yes --reason cents`,
    });
    expect(await dataOf(id)).toEqual({ n: 5, card: 'x-1' });
    expect((await ask(redacting, `/api/parked/${id}`)).json).toMatchObject({
      places: [{ data: { n: 5, card: '[redacted]' }, revised: true }],
    });
    await lab.database.query(
      `INSERT INTO holdfast.subscription (name, snapshot, high, system_identifier, lease_owner, lease_epoch)
       VALUES ('a:b', pg_current_snapshot(), 1000000, 1, 'old', 7)`,
    );
    const refused = await edit(id, { ...body, reason: 'x' });
    await lab.database.query(`DELETE FROM holdfast.subscription WHERE name = 'a:b'`);
    expect(refused).toMatchObject({ status: 409, json: { code: 'HF_PARKED_BUSY' } });
    const hidden = await preview(id, body, lab.open({ hidePayloads: true }));
    expect(JSON.stringify(hidden.json)).not.toContain('x-1');
  });

  it.each([
    ['nothing', {}],
    ['both', { patch: {}, payload: {} }],
    ['what nobody knows', { patch: {}, headers: {} }],
  ])('refuses %s', async (_, body) => {
    const [id = ''] = await park(1);
    expect((await preview(id, body)).status).toBe(400);
    expect((await edit(id, { ...body, reason: 'x' })).status).toBe(400);
    expect(await dataOf(id)).toEqual({ n: 7 });
  });

  it('writes over nothing that was not shown', async () => {
    const [id = ''] = await park(1, { data: { n: 1, card: 'x-1', lines: [{ card: 'x-2', count: 1 }] } });
    const redacting = lab.open({ redact: ['**.card'] });
    const shown = await preview(id, { patch: { n: 2 } }, redacting);
    expect(JSON.stringify(shown.json)).not.toMatch(/x-\d/);
    const asSeen = { n: 2, card: '[redacted]', lines: [{ card: '[redacted]', count: 1 }] };
    const reason = 'x';
    expect((await edit(id, { payload: asSeen, reason }, redacting)).status).toBe(400);
    expect((await edit(id, { payload: { n: 2 }, reason }, redacting)).status).toBe(400);
    expect((await edit(id, { patch: { lines: [{ card: '[redacted]', count: 2 }] }, reason }, redacting)).status).toBe(
      400,
    );
    expect(await dataOf(id)).toEqual({ n: 1, card: 'x-1', lines: [{ card: 'x-2', count: 1 }] });
    const { revised } = (await edit(id, { patch: { n: 2 }, reason }, redacting)).json as { revised: { id: string } };
    expect(await dataOf(revised.id)).toEqual({ n: 2, card: 'x-1', lines: [{ card: 'x-2', count: 1 }] });
  });

  it('has its exact numbers kept: what JavaScript alters cannot be sent back', async () => {
    const [id = ''] = await park(1);
    await lab.database.query(
      `UPDATE holdfast.parked_delivery SET envelope = jsonb_set(envelope, '{data}', '{"sum": 12345678901234567891, "n": 1}')`,
    );
    expect((await edit(id, { payload: { sum: 12345678901234567000, n: 2 }, reason: 'x' })).status).toBe(400);
    expect((await edit(id, { patch: { n: 2 }, reason: 'x' })).status).toBe(400);
    const { rows } = await lab.database.query<{ sum: string }>(
      `SELECT envelope #>> '{data,sum}' AS sum FROM holdfast.parked_delivery`,
    );
    expect(rows).toEqual([{ sum: '12345678901234567891' }]);
  });

  it('is hidden where payloads are, in its preview too', async () => {
    const [id = ''] = await park(1, { data: { secret: 'x-1' } });
    const hidden = lab.open({ hidePayloads: true });
    const { status, json } = await preview(id, { patch: { n: 1 } }, hidden);
    expect(status).toBe(200);
    expect(JSON.stringify(json)).not.toContain('x-1');
  });
});
