/** What people see: numbers, tables, errors. */
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { exitCodeOf } from '../../src/cli/exit-codes.ts';
import { formatBytes, formatCount, formatMs, formatRate, oneLine, plural } from '../../src/cli/output/format.ts';
import { formatFailure } from '../../src/cli/output/report.ts';
import { describeFailure } from '../../src/runtime/describe-failure.ts';
import { createStyle, wantsColor } from '../../src/cli/output/style.ts';
import { formatTable } from '../../src/cli/output/table.ts';
import {
  joinLiveness,
  judgeLiveness,
  judgeReadiness,
  relayReadiness,
  type ReadinessFacts,
} from '../../src/operations/health/judgements.ts';
import type { RunnerState } from '../../src/relay/subscription/runner-state.ts';

const plain = createStyle(false);

describe('formats', () => {
  it.each([
    [0, '0 ms'],
    [850.4, '850 ms'],
    [1_250, '1.3 s'],
    [42_000, '42 s'],
    [59_700, '1m'],
    [192_000, '3m 12s'],
    [3_600_000, '1h'],
    [7_500_000, '2h 5m'],
    [356_400_000, '4d 3h'],
  ])('%d ms is %s', (ms, text) => expect(formatMs(ms)).toBe(text));

  it('shortens numbers as people write them', () => {
    expect([0, 999, 1_000, 1_234_567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567']);
    expect([0, 0.42, 12.4, 1_204].map(formatRate)).toEqual(['0/s', '0.4/s', '12/s', '1,204/s']);
    expect([11, 3_000, 5_242_880].map(formatBytes)).toEqual(['11 B', '2.9 KiB', '5.0 MiB']);
    expect(plural(1, 'message')).toBe('1 message');
  });

  it('lets no text of a message take over the terminal', () => {
    expect(oneLine('a\n\u001B[2Jb\tc')).toBe('a \\x1b[2Jb c');
    expect(oneLine('abcdef', 4)).toBe('abc…');
  });
});

describe('tables', () => {
  const rows = [
    { name: 'a', text: 'something long enough to be cut', count: 7 },
    { name: 'bcd', text: 'short', count: 1_000 },
  ];
  const columns = [
    { title: 'NAME', value: (row: (typeof rows)[0]) => row.name },
    {
      title: 'N',
      value: (row: (typeof rows)[0]) => String(row.count),
      align: 'right' as const,
      optional: true as const,
    },
    { title: 'TEXT', value: (row: (typeof rows)[0]) => row.text, shrink: 8 },
  ];

  it('align, and do not end in blanks', () => {
    expect(formatTable(rows, columns, { style: plain, width: Infinity })).toBe(
      ['NAME     N  TEXT', 'a        7  something long enough to be cut', 'bcd   1000  short'].join('\n'),
    );
  });

  it('give way in a narrow terminal: first what may shrink, then what is optional', () => {
    expect(formatTable(rows, columns, { style: plain, width: 24 })).toBe(
      ['NAME     N  TEXT', 'a        7  something l…', 'bcd   1000  short'].join('\n'),
    );
    expect(formatTable(rows, columns, { style: plain, width: 16 })).toBe(
      ['NAME  TEXT', 'a     something…', 'bcd   short'].join('\n'),
    );
  });

  it('align by what is seen, not by colour codes', () => {
    const coloured = formatTable(rows, columns, { style: createStyle(true), width: Infinity });
    // eslint-disable-next-line no-control-regex
    expect(coloured.replaceAll(/\u001B\[\d+m/g, '')).toBe(
      formatTable(rows, columns, { style: plain, width: Infinity }),
    );
  });
});

describe('colours', () => {
  it('are for terminals, and for those who do not refuse them', () => {
    expect(wantsColor({ isTTY: true }, {})).toBe(true);
    expect(wantsColor({}, {})).toBe(false);
    expect(wantsColor({ isTTY: true }, { NO_COLOR: '1' })).toBe(false);
    expect(wantsColor({ isTTY: true }, { TERM: 'dumb' })).toBe(false);
    expect(wantsColor({}, { FORCE_COLOR: '1' })).toBe(true);
    expect(wantsColor({}, { FORCE_COLOR: '1', NO_COLOR: '1' })).toBe(false);
  });
});

describe('failures', () => {
  const error = new HoldfastError('HF_CONFIG', 'It is wrong.', { advice: 'Mend it.' });

  it('say what and what to do', () => {
    expect(describeFailure(error)).toEqual({ code: 'HF_CONFIG', message: 'It is wrong.', advice: 'Mend it.' });
    expect(formatFailure(error, { style: plain, width: 80 })).toBe('error HF_CONFIG: It is wrong.\n  → Mend it.');
  });

  it('end with a code by kind', () => {
    expect(exitCodeOf(error)).toBe(2);
    expect(exitCodeOf(new HoldfastError('HF_NOT_FOUND', ''))).toBe(2);
    expect(exitCodeOf(new HoldfastError('HF_SCHEMA_MISSING', ''))).toBe(3);
    expect(exitCodeOf(new HoldfastError('HF_TRANSPORT_UNAVAILABLE', ''))).toBe(1);
    expect(exitCodeOf(Object.assign(new Error('full'), { code: '53100' }))).toBe(3);
    expect(exitCodeOf(new TypeError('x'))).toBe(1);
  });
});

describe('probes', () => {
  const state: RunnerState = {
    subscription: 'main',
    shard: 0,
    role: 'active',
    breaker: 'closed',
    lastTickAtMs: 1_000,
    patienceMs: 500,
    trouble: null,
    failure: null,
  };

  it('liveness is about hanging alone', () => {
    expect(judgeLiveness([], 9_999).ok).toBe(true);
    expect(judgeLiveness([state], 1_500).ok).toBe(true);
    expect(judgeLiveness([state, { ...state, shard: 1, lastTickAtMs: 900 }], 1_500)).toMatchObject({
      ok: false,
      body: { status: 'hangs', runners: [{ hangs: false }, { shard: 1, hangs: true, silentMs: 600 }] },
    });
    expect(judgeLiveness([{ ...state, role: 'standby', breaker: 'open', trouble: 'away' }], 1_500).ok).toBe(true);
  });

  it('readiness wants database and leases, and only tells of the broker', () => {
    const ready = (states: readonly RunnerState[], more: Partial<ReadinessFacts> = {}) =>
      judgeReadiness({ phase: 'running', databaseTrouble: null, parts: [relayReadiness(states)], ...more });
    expect(ready([state])).toMatchObject({ ok: true, body: { subscriptions: [{ broker: 'ok' }] } });
    expect(ready([{ ...state, role: 'standby', breaker: 'open', trouble: 'ECONNREFUSED' }])).toMatchObject({
      ok: true,
      body: { subscriptions: [{ broker: 'ECONNREFUSED' }] },
    });
    expect(ready([state], { databaseTrouble: 'gone' }).body).toMatchObject({ reasons: ['database: gone'] });
    expect(ready([{ ...state, role: 'starting' }]).ok).toBe(false);
    expect(ready([state], { phase: 'stopping' }).body).toMatchObject({ reasons: ['stopping'] });
  });

  it('of several parts, one that hangs is enough', () => {
    expect(joinLiveness([])).toEqual({ ok: true, body: { status: 'alive', runners: [] } });
    const hanging = judgeLiveness([state], 9_999);
    expect(joinLiveness([hanging, { ok: true, body: { status: 'alive', worker: {} } }])).toMatchObject({
      ok: false,
      body: { status: 'hangs', runners: [{ hangs: true }], worker: {} },
    });
  });
});
