/** The demo over the other brokers, as small as it gets: real servers, kills and duplicates, and a clean audit. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

// Beside each other: most of the time each waits for processes that were killed.
it.concurrent.each(['redis-streams', 'nats', 'rabbitmq'])(
  'every order is carried out or compensated, and nothing lost or doubled: over %s',
  async (transport) => {
    const args = ['--orders', '20', '--seed', '3', '--no-dashboard', '--json', '--transport', transport];
    // Rejects with all that it has said when it ends with anything but 0.
    const { stdout } = await promisify(execFile)(process.execPath, ['.ci/bootstrap.mjs', 'demo/main.ts', ...args], {
      cwd: ROOT,
    });
    expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
      ok: true,
      orders: 20,
      lost: 0,
      doubleEffects: 0,
      stuck: 0,
      kills: 8,
      transport,
    });
  },
  600_000,
);
