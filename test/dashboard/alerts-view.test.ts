/** What the API tells of alerts, and the objectives that the overview goes by. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  alertsLine,
  attentionOf,
  countsNow,
  flowOf,
  objectiveOf,
  placeOfAlert,
} from '../../src/dashboard/page/app/attention.ts';
import type { WireAlerts, WireOverview } from '../../src/dashboard/page/app/wire.ts';
import { createAlerts } from '../../src/operations/alerts/alerts.ts';
import { emptySagas, seedRun, STUCK_UNDOING } from '../operations/saga-lab.ts';
import { answerOf } from './sample-pages.ts';
import { ask, useDashboardLab } from './server-lab.ts';

const lab = useDashboardLab();
beforeEach(async () => {
  await lab.database.query('TRUNCATE holdfast.alert, holdfast.alert_round, holdfast.subscription CASCADE');
  await emptySagas(lab.database);
});

const itemsOf = (json: Readonly<Record<string, unknown>>) => json['items'] as readonly Record<string, unknown>[];

describe('GET /api/alerts', () => {
  it('tells what is wrong, also when nobody watches, and that nobody does', async () => {
    await seedRun(lab.database, STUCK_UNDOING);
    const { status, json } = await ask(lab.open(), '/api/alerts', { as: 'viewer' });
    expect(status).toBe(200);
    expect(itemsOf(json)).toEqual([
      expect.objectContaining({
        kind: 'stuck',
        subject: 'place-order',
        state: 'new',
        toldAgoMs: null,
        quietForMs: null,
      }),
    ]);
    expect(json['watched']).toEqual(
      ['consumers', 'relay', 'sagas'].map((area) => ({ area, lookedAgoMs: null, watcher: null })),
    );
    expect(json['tells']).toBeNull();
  });

  it('tells since when, that it was told, and for how long it is quiet', async () => {
    await seedRun(lab.database, STUCK_UNDOING);
    const watcher = createAlerts({ database: lab.database, name: 'w-1', quiet: '3m' });
    await watcher.tick();
    const { json } = await ask(lab.open({ alerts: { quiet: '3m', tells: ['log', 'webhook'] } }), '/api/alerts');
    expect(json).toMatchObject({ tells: ['log', 'webhook'], items: [{ kind: 'stuck', state: 'firing' }] });
    const [alert] = itemsOf(json);
    expect(alert?.['ageMs']).toBeGreaterThanOrEqual(0);
    expect(Number(alert?.['toldAgoMs']) + Number(alert?.['quietForMs'])).toBeCloseTo(180_000, 3);
    expect(json['watched']).toContainEqual({ area: 'sagas', lookedAgoMs: expect.any(Number), watcher: 'w-1' });
    await lab.database.query(`UPDATE holdfast.alert SET told_at = now() - interval '4 minutes'`);
    const later = await ask(lab.open({ alerts: { quiet: '3m' } }), '/api/alerts');
    expect(itemsOf(later.json)).toEqual([expect.objectContaining({ quietForMs: null })]);
  });

  it('goes by the rules of those who watch', async () => {
    await seedRun(lab.database, STUCK_UNDOING);
    expect(itemsOf((await ask(lab.open({ alerts: { rules: { stuck: false } } }), '/api/alerts')).json)).toEqual([]);
  });

  it.each([
    [{ tells: ['pigeon'] }, 'HF_CONFIG'],
    [{ webhook: { url: 'https://example.com' } }, 'HF_OPTION_UNKNOWN'],
    [{ objectives: { main: 'soon' } }, 'HF_DURATION'],
    [{ quiet: '5h' }, 'HF_CONFIG'],
  ])('refuses the option %j', (alerts, code) => {
    expect(() => lab.open({ alerts: alerts as never })).toThrow(expect.objectContaining({ code }));
  });
});

describe('the overview', () => {
  const subscribe = (name: string) =>
    lab.database.query(
      'INSERT INTO holdfast.subscription (name, snapshot, high, system_identifier) VALUES ($1, pg_current_snapshot(), 0, 0)',
      [name],
    );

  it('has the objective of each subscription', async () => {
    await subscribe('main');
    await subscribe('reports');
    const { json } = await ask(lab.open({ alerts: { objectives: { reports: '1h' } } }), '/api/overview');
    expect(json['objectives']).toEqual(
      expect.arrayContaining([
        { subscription: 'main', objectiveMs: 60_000 },
        { subscription: 'reports', objectiveMs: 3_600_000 },
      ]),
    );
  });
});

describe('a database without the tables of alerts, or whose role may not read them', () => {
  afterEach(() => lab.database.query('ALTER TABLE IF EXISTS holdfast.alert_away RENAME TO alert'));

  it('still has an overview', async () => {
    await lab.database.query('ALTER TABLE holdfast.alert RENAME TO alert_away');
    const parts = lab.open();
    expect((await ask(parts, '/api/overview')).json).toMatchObject({ relay: { schema: 'holdfast' }, alerts: null });
    expect(await ask(parts, '/api/alerts')).toMatchObject({ status: 403, json: { code: 'HF_PERMISSION' } });
  });
});

describe('the page', () => {
  const sample = () => answerOf('overview', new URLSearchParams()) as WireOverview;

  it('counts among what needs a person what only alerts see', () => {
    expect(attentionOf(sample()).map(({ what }) => what)).toContain(
      'Relays of subscription search died 2 times in a row without progress.',
    );
    const dead = attentionOf({ ...sample(), alerts: null }).map(({ what }) => what);
    expect(dead.filter((what) => what.includes('died'))).toEqual([]);
  });

  it('holds each subscription against its own objective, and tells of the one that is nearest to it', () => {
    const current = sample();
    const [main, search] = current.relay.subscriptions;
    const live = [
      { ...main!, oldestUnpublishedAgeMs: 25_000 },
      { ...search!, live: true, trouble: null, oldestUnpublishedAgeMs: 40_000 },
    ];
    const behind = (subscriptions: typeof live, objectives = current.objectives) => {
      const relay = { ...current.relay, subscriptions };
      const now = { ...current, relay, objectives, alerts: null };
      const late = attentionOf(now).flatMap(({ what }) => (what.endsWith('is behind') ? [what] : []));
      const { oldestMs, objectiveMs } = flowOf(now);
      return { late, oldestMs, objectiveMs };
    };
    expect(behind(live)).toEqual({ late: [], oldestMs: 25_000, objectiveMs: 30_000 });
    const strict = [{ subscription: 'search', objectiveMs: 10_000 }];
    expect(behind(live, strict)).toEqual({ late: ['search is behind'], oldestMs: 40_000, objectiveMs: 10_000 });
    expect(behind([])).toEqual({ late: [], oldestMs: null, objectiveMs: null });
    expect(objectiveOf([], 'main')).toBe(Infinity);
  });

  it('tells in one number how many runs are stuck', () => {
    const { sagas } = sample();
    const stuck = (now: NonNullable<typeof sagas>['stuck']) =>
      countsNow({ ...sagas!, stuck: now }).counts.filter(({ status }) => status === 'stuck');
    expect(stuck([{ saga: 'place-order', runs: 5, oldestMs: 1 }])).toEqual([
      { saga: 'place-order', status: 'stuck', runs: 5 },
    ]);
    expect(stuck([])).toEqual([]);
    expect(countsNow(sagas!).counts).toHaveLength(sagas!.counts.counts.length);
  });

  it('says in a line what was told', () => {
    const alerts = sample().alerts!;
    const nobody: WireAlerts = {
      ...alerts,
      items: alerts.items.map((each) => ({ ...each, toldAgoMs: null })),
      watched: [],
    };
    expect(alertsLine(alerts)).toBe('1 alert told, the last 3m 45s ago (log, webhook)');
    expect(alertsLine(nobody)).toBe('Nobody watches for alerts');
    expect(alertsLine({ ...nobody, watched: alerts.watched })).toBe('2 alerts, not told yet');
    expect(alertsLine({ ...alerts, items: [] })).toBe('No alert');
  });

  it('leads from an alert to what it is about', () => {
    expect(placeOfAlert({ kind: 'stuck', subject: 'place-order' })).toEqual({
      path: 'runs',
      query: { saga: 'place-order', status: 'stuck' },
    });
    expect(placeOfAlert({ kind: 'consumer-dead-letter', subject: 'billing' }).query).toMatchObject({
      kind: 'consumer',
    });
    expect(placeOfAlert({ kind: 'late', subject: 'main' }).path).toBe('subscriptions');
  });
});
