/**
 * The soak from end to end, as short as it gets, in two legs: what the first one has left is judged and counted by the second.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, chmodSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it, onTestFinished } from 'vitest';
import { FAULT_KINDS, faultsNamed } from './faults/strikes.ts';
import type { Outcome } from './report.ts';

const MAIN = new URL('./main.ts', import.meta.url).pathname;

async function soak(...args: readonly string[]): Promise<Outcome> {
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, '--json', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, said] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const last = out.trim().split('\n').at(-1) ?? '';
  if (!last.startsWith('{')) throw new Error(`The soak said nothing at its end.\n${said}`);
  return JSON.parse(last) as Outcome;
}

it('loses nothing and doubles nothing in two short legs, and adds them up', { timeout: 300_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-soak-'));
  // The servers run as another user when this runs as root, and must be able to enter.
  chmodSync(folder, 0o755);
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const leg = ['--minutes', '0.15', '--rate', '150', '--runs', '3', '--folder', folder] as const;
  const first = await soak(...leg, '--seed', '1');
  expect(first).toMatchObject({ ok: true, lost: 0, unfinished: 0, stuck: 0, parked: 0 });
  expect(first.leg.messages).toBeGreaterThan(20);
  expect(first.leg.orders).toBeGreaterThan(0);
  const second = await soak(...leg, '--seed', '2');
  expect(second).toMatchObject({ ok: true, sum: { legs: 2, brokenOff: 0 } });
  expect(second.sum.messages).toBe(first.sum.messages + second.leg.messages);
  expect(second.sum.orders).toBe(first.sum.orders + second.leg.orders);
});

it('has more than fifteen kinds of faults, each once', () => {
  const names = FAULT_KINDS.map(({ kind }) => kind);
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThan(15);
  expect(faultsNamed('postgresql').map(({ kind }) => kind)).toEqual(['PostgreSQL crashed', 'PostgreSQL restarted']);
  expect(faultsNamed('none')).toEqual([]);
  expect(() => faultsNamed('meteor')).toThrow('process killed');
});
