/**
 * `npm run dev` of a project that `holdfast init` wrote, as its user runs it: started, given an order, ended by Ctrl-C.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { freePort } from '../src/servers/machine.ts';

const LONGEST_MS = 180_000;

export interface DevProcess {
  /** Where the service listens. */
  readonly service: string;
  readonly dashboard: string;
  /** Resolves when the line has been printed. */
  printed(line: RegExp): Promise<string>;
  /** As Ctrl-C does it; rejects when something is left in its way. */
  stop(): Promise<void>;
}

/** Rejects, with what it printed, when it does not come to where it takes orders. Without servers in `env` it brings a PostgreSQL. */
export async function startDev(folder: string, env: NodeJS.ProcessEnv = {}): Promise<DevProcess> {
  const port = await freePort();
  const { DATABASE_URL: _database, REDIS_URL: _redis, ...own } = process.env;
  const child = spawn('npm', ['run', 'dev'], {
    cwd: folder,
    env: { ...own, ...env, PORT: String(port), NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const exit = once(child, 'close');
  const end = (): void => void child.kill('SIGTERM');
  process.once('exit', end);
  void exit.then(() => process.off('exit', end));
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (more: string) => (text += more));
  const printed = (line: RegExp): Promise<string> =>
    until(
      () => line.exec(text)?.[0],
      () => `${String(line)} in what npm run dev printed:\n${text}`,
    );
  const stop = async (): Promise<void> => {
    process.kill(-(child.pid ?? 0), 'SIGINT');
    await exit;
    await printed(/ended; the data are kept/);
  };
  try {
    await printed(/orders are taken at/);
    const head = await printed(/dashboard {2}http\S+/);
    return { service: `http://127.0.0.1:${port}`, dashboard: head.replace(/^\S+ +/, ''), printed, stop };
  } catch (error) {
    process.kill(-(child.pid ?? 0), 'SIGTERM');
    await exit;
    throw error;
  }
}

/** An order is placed, asked for again with the same key, completed on the dashboard, and shipped. */
export async function orderGoesThrough(dev: DevProcess): Promise<void> {
  const { service, dashboard } = dev;
  const key = randomUUID();
  const orderId = await placeOrder(service, key);
  const again = await placeOrder(service, key);
  if (again !== orderId) throw new Error(`Asked twice with one Idempotency-Key: orders ${orderId} and ${again}`);
  const page = await fetch(dashboard);
  if (!page.ok || !(await page.text()).includes('<title>')) throw new Error(`${dashboard} shows no page.`);
  await until(
    async () => {
      const runs = await fetch(`${dashboard}api/runs?key=${orderId}`);
      const { items = [] } = (await runs.json()) as { readonly items?: readonly { readonly status: string }[] };
      return items[0]?.status === 'completed' ? true : undefined;
    },
    () => `the run of ${orderId} to be completed on the dashboard`,
  );
  // The row of the consumer.
  await dev.printed(/shipping .* handled order\.accepted/);
  const shown = await fetch(`${service}/orders/${orderId}`);
  const { state } = (await shown.json()) as { readonly state?: string };
  if (state !== 'accepted') throw new Error(`The order is ${state}, and not accepted.`);
}

async function placeOrder(service: string, key: string): Promise<string> {
  const answer = await fetch(`${service}/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify({ item: 'chair', amount: 42 }),
  });
  const { orderId } = (await answer.json()) as { readonly orderId?: string };
  if (orderId === undefined || answer.status !== 202) throw new Error(`An order was answered with ${answer.status}.`);
  return orderId;
}

async function until<T>(look: () => Promise<T | undefined> | T | undefined, what: () => string): Promise<T> {
  const deadline = performance.now() + LONGEST_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`Waited in vain for ${what()}`);
    await new Promise((again) => setTimeout(again, 50));
  }
}
