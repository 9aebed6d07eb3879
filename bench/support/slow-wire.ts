/**
 * A network of so many milliseconds before a server of this machine: `--rtt`. In a process of its own (slow-wire-process.ts), so that
 * it takes nothing from the event loop of whoever is measured.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface SlowWire {
  /** Of 127.0.0.1: what connects to it is connected with the server. */
  readonly port: number;
  stop(): Promise<void>;
}

export interface SlowWireTask {
  /** Of the server, on 127.0.0.1. */
  readonly port: number;
  /** There and back. */
  readonly rttMs: number;
}

export async function startSlowWire(task: SlowWireTask): Promise<SlowWire> {
  const child = fork(fileURLToPath(new URL('slow-wire-process.js', import.meta.url)), {
    stdio: ['ignore', 2, 2, 'ipc'],
  });
  const exit = once(child, 'exit');
  child.send(task);
  const [port] = (await Promise.race([once(child, 'message'), exit.then(ended)])) as [number];
  return {
    port,
    async stop() {
      child.kill();
      await exit;
    },
  };
}

function ended(): never {
  throw new Error('the slow wire ended before it had begun');
}
