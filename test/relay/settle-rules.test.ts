/** What a relay makes of a stored cursor in the server that it finds: the decisions alone. */
import { describe, expect, it } from 'vitest';
import { isSequenceBehind, serverChange, unseenRows } from '../../src/relay/subscription/settle-cursor.ts';
import { toCursor, type SubscriptionRow } from '../../src/relay/subscription/subscription-row.ts';

const HOUR_MS = 3_600_000;
const row = (rest: Partial<SubscriptionRow> = {}): SubscriptionRow => ({
  snapshot: '10:20:12',
  high: '100',
  catchup: null,
  catchup_seq: null,
  floor: '40',
  lease_epoch: '1',
  stalls: 0,
  lapsed: [],
  probe: null,
  published: '0',
  same_cluster: true,
  timeline: 1,
  timeline_here: 1,
  server: '7/1',
  advanced_ms: 10 * HOUR_MS,
  drawn: '100',
  newest: '100',
  ...rest,
});

describe('the server', () => {
  it('is the same, a promoted standby, or one of another cluster', () => {
    expect(serverChange(row())).toBe('none');
    expect(serverChange(row({ timeline_here: 2 }))).toBe('timeline');
    expect(serverChange(row({ same_cluster: false }))).toBe('cluster');
    expect(serverChange(row({ same_cluster: false, timeline_here: 2 }))).toBe('cluster');
  });

  it('is not taken for another one where a timeline is not known', () => {
    expect(serverChange(row({ timeline: null }))).toBe('none');
    expect(serverChange(row({ timeline_here: null }))).toBe('none');
  });
});

describe('the sequence of the log', () => {
  it('is behind when its next number is in use, or lies below the cursor or its floor', () => {
    expect(isSequenceBehind(row())).toBe(false);
    expect(isSequenceBehind(row({ newest: '101' }))).toBe(true);
    expect(isSequenceBehind(row({ high: '101' }))).toBe(true);
    expect(isSequenceBehind(row({ floor: '101' }))).toBe(true);
    expect(isSequenceBehind(row({ newest: null, drawn: '100' }))).toBe(false);
  });
});

describe('what lies where no reader looks', () => {
  it('is, in the cluster of the cursor, what was written up to the floor since its last move', () => {
    expect(unseenRows(row(), 'none')).toEqual({ upTo: 40, writtenAfterMs: 10 * HOUR_MS });
    expect(unseenRows(row(), 'timeline')).toEqual({ upTo: 40, writtenAfterMs: 10 * HOUR_MS });
  });

  it('is, in another cluster, all that was numbered from below, whose clock may be an hour behind', () => {
    expect(unseenRows(row(), 'cluster')).toEqual({ upTo: 100, writtenAfterMs: 9 * HOUR_MS });
    expect(unseenRows(row({ floor: '140' }), 'cluster')).toMatchObject({ upTo: 140 });
  });
});

describe('a stored cursor', () => {
  it('comes back with the place of a long page that was begun', () => {
    expect(toCursor(row())).toEqual({ snapshot: '10:20:12', high: 100, catchup: null, floor: 40 });
    expect(toCursor(row({ catchup: '10:30:', catchup_seq: '70' })).catchup).toEqual({ snapshot: '10:30:', seq: 70 });
  });
});
