/** Alerts on a real database: several processes that watch, deaths on the way, a webhook that is away. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AlertNotice } from '../../src/operations/alerts/alert.ts';
import { createAlertStore } from '../../src/operations/alerts/alert-store.ts';
import { createAlerts, type Alerts } from '../../src/operations/alerts/alerts.ts';
import { listAlerts } from '../../src/operations/alerts/list-alerts.ts';
import type { AlertsOptions } from '../../src/operations/alerts/options.ts';
import { discardParked } from '../../src/operations/parked/interventions.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import { eventually } from '../support/eventually.ts';
import { useLab } from './lab.ts';
import { closedUrl, SECRET, useWebhookReceiver } from './webhook-receiver.ts';

const lab = useLab();
const receiver = useWebhookReceiver();
const DEAD = '01900000-0000-7000-8000-000000000001';
const DEAD_TOO = '01900000-0000-7000-8000-000000000002';
const open: Alerts[] = [];

beforeEach(async () => {
  await lab.database.query('TRUNCATE holdfast.alert, holdfast.saga_run');
  await due();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((alerts) => alerts.stop({ signal: AbortSignal.abort() })));
});

function watcher(options: Partial<AlertsOptions> = {}): Alerts {
  const alerts = createAlerts({
    database: lab.database,
    webhook: { url: receiver.url, secret: SECRET },
    clear: 0,
    ...options,
  });
  open.push(alerts);
  return alerts;
}

/** It is time for a look in every area, and for what waits to be told. */
async function due(): Promise<void> {
  await lab.database.query(`UPDATE holdfast.alert_round SET next_at = '-infinity'`);
  await lab.database.query(
    `UPDATE holdfast.alert SET notice_due_at = '-infinity', notice_claimed_until = NULL WHERE notice_id IS NOT NULL`,
  );
}
async function look(...watchers: readonly Alerts[]): Promise<void> {
  await due();
  await Promise.all(watchers.map((alerts) => alerts.tick()));
}
const told = () => receiver.received.map(({ data }) => `${data.type} ${String(data['kind'])} ${String(data['count'])}`);
const discard = (id: string) =>
  discardParked(lab.database, { id, consumer: 'billing' }, { actor: 'ada', reason: 'a test' });
const untold = async () =>
  (await lab.database.query('SELECT FROM holdfast.alert WHERE notice_id IS NOT NULL')).rowCount ?? 0;

describe('several processes that watch', () => {
  it('tell one alert once, also after a restart, and that it is over', async () => {
    await lab.parkDelivery('billing', DEAD);
    const five = Array.from({ length: 5 }, () => watcher());
    await look(...five);
    await look(...five);
    await look(watcher());
    expect(told()).toEqual(['alert.firing consumer-dead-letter 1']);
    expect(receiver.received[0]?.data).toMatchObject({ subject: 'billing', again: false });

    await discard(DEAD);
    await look(...five);
    await look(...five);
    expect(told()).toEqual(['alert.firing consumer-dead-letter 1', 'alert.resolved consumer-dead-letter 1']);
  });

  it('tell again when there are more, after the quiet time', async () => {
    await lab.parkDelivery('billing', DEAD);
    const alerts = watcher();
    await look(alerts);
    await lab.parkDelivery('billing', DEAD_TOO);
    await look(alerts);
    expect(told()).toHaveLength(1);
    await lab.database.query(`UPDATE holdfast.alert SET told_at = told_at - interval '6 minutes'`);
    await look(alerts);
    await look(alerts);
    expect(told()).toEqual(['alert.firing consumer-dead-letter 1', 'alert.firing consumer-dead-letter 2']);
    expect(receiver.received[1]?.data).toMatchObject({ again: true });
  });

  it('look once an interval for all of them', async () => {
    const looks = async () =>
      (await lab.database.query<{ n: number }>('SELECT round::int AS n FROM holdfast.alert_round ORDER BY area')).rows;
    const before = await looks();
    await Promise.all(Array.from({ length: 4 }, () => watcher().tick()));
    await watcher().tick();
    expect(await looks()).toEqual(before.map(({ n }) => ({ n: n + 1 })));
  });

  it('and one that asks while another one takes its turn has none', async () => {
    const store = createAlertStore(lab.database, 'late');
    await store.takeRounds(['consumers'], 0);
    const first = await lab.database.pool.connect();
    await first.query('BEGIN');
    await first.query(`UPDATE holdfast.alert_round SET next_at = now() + interval '1 hour' WHERE area = 'consumers'`);
    const late = store.takeRounds(['consumers'], 60_000);
    await eventually('the other one to wait', async () => {
      const { rowCount } = await lab.database.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return rowCount === 1;
    });
    await first.query('COMMIT');
    first.release();
    expect(await late).toEqual([]);
  });

  it('and one that was held up overwrites nothing with what it saw before', async () => {
    const store = createAlertStore(lab.database, 'slow');
    const [slow] = await store.takeRounds(['consumers'], 0);
    await lab.parkDelivery('billing', DEAD);
    await look(watcher());
    const before = (await lab.database.query('SELECT * FROM holdfast.alert')).rows;
    const forgotten = { keep: [], forget: [{ kind: 'consumer-dead-letter', subject: 'billing' }], tell: [] } as const;
    expect(await store.settle(slow!, forgotten, [])).toBe(false);
    expect((await lab.database.query('SELECT * FROM holdfast.alert')).rows).toEqual(before);
  });
});

describe('a process that dies', () => {
  const dieAt = (where: string) => ({
    crashPoint: (point: string) => {
      if (point === where) throw new Error(`died at ${where}`);
    },
  });

  it.each([
    ['alerts.settle:before', 1],
    ['alerts.settle:after', 1],
    ['alerts.send:before', 1],
    // It was sent, and nobody knows: the same notice comes again.
    ['alerts.send:after', 2],
  ])('at %s loses nothing, and what is sent twice has one id', async (point, times) => {
    await lab.parkDelivery('billing', DEAD);
    await look(watcher(dieAt(point)));
    await look(watcher());
    await look(watcher());
    expect(told()).toEqual(Array.from({ length: times }, () => 'alert.firing consumer-dead-letter 1'));
    expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(1);
    expect(await untold()).toBe(0);
  });

  it('keeps what it was telling from the others for a while', async () => {
    await lab.parkDelivery('billing', DEAD);
    await look(watcher(dieAt('alerts.send:before')));
    await lab.database.query(`UPDATE holdfast.alert_round SET next_at = '-infinity'`);
    await watcher().tick();
    expect(told()).toEqual([]);
    await look(watcher());
    expect(told()).toHaveLength(1);
  });
});

describe('a webhook', () => {
  it('that is away is told when it is back; log and hook are told at once, and once', async () => {
    const lines: string[] = [];
    const log: Logger = { ...silentLogger, error: (_, line) => void lines.push(line), child: () => log };
    const hooked: AlertNotice[] = [];
    const alerts = watcher({ log, onAlert: (notice) => void hooked.push(notice) });
    await lab.parkDelivery('billing', DEAD);
    receiver.answer = () => ({ status: 500 });
    await look(alerts);
    await look(alerts);
    expect(await untold()).toBe(1);
    receiver.answer = () => ({ status: 200 });
    await look(alerts);
    await look(alerts);
    expect(receiver.received).toHaveLength(3);
    expect(new Set(receiver.received.map(({ id }) => id))).toEqual(new Set([hooked[0]?.id]));
    expect(hooked).toHaveLength(1);
    expect(lines.filter((line) => line.startsWith('alert: '))).toHaveLength(1);
    expect(await untold()).toBe(0);
  });

  it('that was away hears the last word alone', async () => {
    await lab.parkDelivery('billing', DEAD);
    receiver.answer = () => ({ status: 500 });
    await look(watcher());
    await discard(DEAD);
    receiver.answer = () => ({ status: 200 });
    await look(watcher());
    expect(told()).toEqual(['alert.firing consumer-dead-letter 1', 'alert.resolved consumer-dead-letter 1']);
  });

  it('hears that it is over also when the alert would be forgotten by then', async () => {
    await lab.parkDelivery('billing', DEAD);
    await look(watcher());
    await discard(DEAD);
    receiver.answer = () => ({ status: 500 });
    await look(watcher());
    await lab.database.query(`UPDATE holdfast.alert SET told_at = told_at - interval '6 minutes'`);
    await look(watcher());
    receiver.received.length = 0;
    receiver.answer = () => ({ status: 200 });
    await look(watcher());
    expect(told()).toEqual(['alert.resolved consumer-dead-letter 1']);
    expect(await untold()).toBe(0);
    await look(watcher());
    expect((await lab.database.query('SELECT FROM holdfast.alert')).rowCount).toBe(0);
  });

  it('hears the last word after what is under way', async () => {
    await lab.parkDelivery('billing', DEAD);
    const store = createAlertStore(lab.database, 'slow');
    receiver.answer = () => ({ status: 500 });
    await look(watcher());
    await due();
    const [underWay] = await store.claim(1, 60_000);
    await discard(DEAD);
    await lab.database.query(`UPDATE holdfast.alert_round SET next_at = '-infinity'`);
    await watcher().tick();
    expect(told()).toHaveLength(1);
    // What was under way ends: it is not the last word any more, and takes nothing away with it.
    await store.done(underWay?.notice.id ?? '');
    receiver.answer = () => ({ status: 200 });
    await look(watcher());
    expect(told().at(-1)).toBe('alert.resolved consumer-dead-letter 1');
  });

  it('that hangs holds up no look and no stop', async () => {
    receiver.answer = () => null;
    await lab.parkDelivery('billing', DEAD);
    const rounds = async () =>
      (await lab.database.query<{ n: number }>('SELECT max(round)::int AS n FROM holdfast.alert_round')).rows[0]?.n ??
      0;
    const before = await rounds();
    const alerts = watcher({ interval: '1s', webhook: { url: receiver.url, secret: SECRET, timeout: '60s' } });
    await alerts.start();
    await eventually('the webhook to be called', async () => receiver.received.length > 0);
    await eventually('looks to go on', async () => (await rounds()) >= before + 3);
    const startedAt = performance.now();
    await alerts.stop({ signal: AbortSignal.timeout(100) });
    expect(performance.now() - startedAt).toBeLessThan(30_000);
    expect(await untold()).toBe(1);
  });

  it('never has its address or its secret in the log', async () => {
    const lines: string[] = [];
    const write = (fields: object, line: string): void =>
      void lines.push(JSON.stringify([fields, line, fields instanceof Error ? fields.message : '']));
    const log: Logger = { debug: write, info: write, warn: write, error: write, child: () => log };
    await lab.parkDelivery('billing', DEAD);
    const away = { url: await closedUrl('/T0K3N'), secret: SECRET };
    await look(watcher({ log, webhook: away }));
    expect(lines.join('\n')).toMatch(/did not take one/);
    expect(lines.join('\n')).not.toMatch(/T0K3N|127\.0\.0\.1|whsec/);
  });
});

describe('a hook', () => {
  it('that throws, rejects or hangs changes nothing', async () => {
    await lab.parkDelivery('billing', DEAD);
    const hooks = [
      () => {
        throw new Error('hook');
      },
      async () => {
        throw new Error('hook');
      },
      () => new Promise<void>(() => {}),
    ];
    for (const onAlert of hooks) {
      await lab.database.query('TRUNCATE holdfast.alert');
      await look(watcher({ onAlert }));
    }
    expect(told()).toHaveLength(3);
  });
});

describe('a process by itself', () => {
  it('tells that the database is silent, once, and that it answers again', async () => {
    const hooked: AlertNotice[] = [];
    let away = true;
    const nowhere = openDatabase({ url: 'postgres://127.0.0.1:1/none', connectTimeout: '1s' });
    const database = {
      ...lab.database,
      query: (...args: Parameters<typeof nowhere.query>) => (away ? nowhere : lab.database).query(...args),
    } as typeof lab.database;
    const alerts = watcher({
      database,
      name: 'me',
      rules: { 'database-silent': { for: 0 } },
      onAlert: (notice) => void hooked.push(notice),
    });
    await alerts.tick();
    await alerts.tick();
    expect(told()).toEqual(['alert.firing database-silent 1']);
    away = false;
    await look(alerts);
    expect(told()).toEqual(['alert.firing database-silent 1', 'alert.resolved database-silent 1']);
    expect(hooked.map(({ status, subject }) => `${status} ${subject}`)).toEqual(['firing me', 'resolved me']);
    await nowhere.close();
  });

  it('tells that a worker of its own has lost its lease, and nothing of one that is started or stopped', async () => {
    const worker = { id: '' };
    const alerts = watcher({ name: 'me', workers: [worker] });
    await look(alerts);
    worker.id = 'first';
    await look(alerts);
    expect(told()).toEqual([]);
    worker.id = 'second';
    await look(alerts);
    expect(told()).toEqual(['alert.firing lease-lost 1']);
    await look(alerts);
    expect(told()).toEqual(['alert.firing lease-lost 1', 'alert.resolved lease-lost 1']);
  });
});

describe('listAlerts', () => {
  it('says what is wrong now beside what was told, and whether somebody watches', async () => {
    await lab.parkDelivery('billing', DEAD);
    const found = await listAlerts(lab.database);
    expect(found.alerts).toMatchObject([
      { kind: 'consumer-dead-letter', subject: 'billing', state: 'new', ageMs: null },
    ]);
    receiver.answer = () => ({ status: 500 });
    await look(watcher({ name: 'w-1' }));
    const [firing] = (await listAlerts(lab.database)).alerts;
    expect(firing).toMatchObject({ state: 'firing', failedAttempts: 1, toldAgoMs: expect.any(Number) as number });
    expect((await listAlerts(lab.database)).watched).toMatchObject(
      ['consumers', 'relay', 'sagas'].map((area) => ({ area, watcher: 'w-1' })),
    );
    await discard(DEAD);
    expect((await listAlerts(lab.database)).alerts).toMatchObject([{ state: 'clearing' }]);
    expect((await listAlerts(lab.database, { rules: { 'consumer-dead-letter': false } })).alerts).toHaveLength(1);
  });
});
