/**
 * The demo from end to end, as small as it gets: real servers, real processes, kills and duplicates, and a clean audit.
 */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';

describe('npm run demo', () => {
  it('carries out or compensates every order, loses nothing and doubles nothing, and says so in one line of JSON', async () => {
    const { code, stdout, stderr } = await demo('--orders', '60', '--seed', '7', '--json');
    if (code !== 0) throw new Error(stderr);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const audit = JSON.parse(stdout) as Record<string, number>;
    expect(audit).toMatchObject({
      orders: 60,
      lost: 0,
      outOfOrder: 0,
      runs: 60,
      stuck: 0,
      doubleEffects: 0,
      missingCompensations: 0,
      wrongOrderCompensations: 0,
      wrongEnds: 0,
      cancellationsLost: 0,
      ghosts: 0,
      kills: 8,
      moneyConserved: true,
      stockConserved: true,
      ok: true,
    });
    expect(audit['delivered']).toBe(audit['committed']);
    expect(audit['committed']).toBeGreaterThan(60 * 5);
    expect(audit['completed']! + audit['compensated']!).toBe(60);
    expect(audit['compensated']).toBeGreaterThan(0);
    expect(audit['duplicatesSuppressed']).toBeGreaterThan(0);
  });

  it('refuses what it does not understand, and says how it is used', async () => {
    const { code, stdout, stderr } = await demo('--orders', 'many');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('--orders is "many"');
    expect(stderr).toContain('Usage: npm run demo');
  });
});

async function demo(...args: string[]) {
  const child = spawn('npm', ['run', 'demo', '--silent', '--', ...args]);
  const code = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}
