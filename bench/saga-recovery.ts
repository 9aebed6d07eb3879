/**
 * saga.recovery: many runs are under way in a worker that is killed; another one, which stands by, brings them all to their end. How
 * long that takes when the lease is taken off, against as many new runs in the same process.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Role, Rescue } from './saga-recovery-process.ts';
import { monotonicMs } from './support/clock.ts';
import { figure, median, round, type Benchmark } from './support/figure.ts';

const RECOVERY = 'saga.recovery';
/** In milliseconds. How long before the death it was prolonged is not known, which a long one would let weigh. */
const LEASE_MS = 2_000;
/** Where the figure is not for reading, and the machine may be so busy that a living worker would lose a short one. */
const QUICK_LEASE_MS = 15_000;

export const sagaRecovery: Benchmark = {
  names: [RECOVERY],

  async run({ quick, servers, note }) {
    const runs = quick ? 300 : 10_000;
    const rounds = quick ? 1 : 3;
    const leaseMs = quick ? QUICK_LEASE_MS : LEASE_MS;
    const recovered: number[] = [];
    const afresh: number[] = [];
    for (let index = 0; index < rounds; index += 1) {
      const bench = await servers.database();
      try {
        const rescuer = start('rescuer', bench.url, runs, leaseMs);
        await once(rescuer, 'message');
        const victim = start('victim', bench.url, runs, leaseMs);
        await once(victim, 'message');
        await bench.settle();
        const rescue = once(rescuer, 'message') as Promise<[Rescue]>;
        victim.kill('SIGKILL');
        const killedAt = monotonicMs();
        const [{ doneAtMs, afreshMs }] = await rescue;
        if (rescuer.exitCode === null) await once(rescuer, 'exit');
        recovered.push((doneAtMs - killedAt - leaseMs) / 1000);
        afresh.push(afreshMs / 1000);
        const { rows } = await bench.database.query<{ count: string }>(
          `SELECT count(*) FROM holdfast.saga_run WHERE status <> 'completed'`,
        );
        if (rows[0]?.count !== '0') throw new Error(`${rows[0]?.count} runs were not completed`);
        note(
          `recovery, round ${index + 1}: ${round(recovered.at(-1) ?? NaN)} s after the lease, afresh ${round(afreshMs / 1000)} s`,
        );
      } finally {
        await bench.drop();
      }
    }
    const seconds = median(recovered);
    return [
      figure(
        {
          bench: RECOVERY,
          value: seconds,
          unit: 's',
          against: 'afresh',
          againstValue: median(afresh),
          target: { atMost: 1.5 },
        },
        { runsPerSecond: round(runs / seconds), runs, rounds, leaseMs },
      ),
    ];
  },
};

function start(role: Role, url: string, runs: number, leaseMs: number): ChildProcess {
  const child = fork(
    fileURLToPath(new URL('saga-recovery-process.js', import.meta.url)),
    [role, url, String(runs), String(leaseMs)],
    { stdio: ['ignore', 2, 2, 'ipc'] },
  );
  child.once('exit', (code, signal) => {
    if (code !== 0 && signal !== 'SIGKILL') throw new Error(`the ${role} ended with ${String(code ?? signal)}`);
  });
  return child;
}
