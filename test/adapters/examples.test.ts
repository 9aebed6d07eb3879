/**
 * The examples of examples/, each as the process that one starts: an order is placed once however often it is asked for, its saga
 * completes, and a SIGTERM ends it in order. And docs/frameworks.md shows what is run here.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../house/source-files.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase } from '../support/servers.ts';

const frameworks = readdirSync(join(ROOT, 'examples')).filter((name) =>
  existsSync(join(ROOT, 'examples', name, 'main.ts')),
);

describe('the example', () => {
  it.each(frameworks)('of %s', async (framework) => {
    const test = await createTestDatabase();
    const program = `examples/${framework}/main.ts`;
    const tsconfig = join(ROOT, 'examples', framework, 'tsconfig.json');
    const env = {
      ...process.env,
      DATABASE_URL: test.url,
      PORT: '0',
      ...(existsSync(tsconfig) ? { TSX_TSCONFIG_PATH: tsconfig } : {}),
    };
    const child = spawn(process.execPath, ['--import', 'tsx', program], {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const exit = once(child, 'exit');
    let said = '';
    child.stderr.on('data', (text: Buffer) => (said += text.toString()));
    try {
      const [line] = (await Promise.race([
        once(createInterface({ input: child.stdout }), 'line'),
        exit.then(([code]) => Promise.reject(new Error(`It ended with ${String(code)}: ${said}`))),
      ])) as [string];
      const [url = ''] = /http:\S+/.exec(line) ?? [];
      const place = (user: string, orderId: string): Promise<Response> =>
        fetch(`${url}/orders`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': '"one"', 'x-user': user },
          body: JSON.stringify({ orderId, amount: 42 }),
        });
      const answers = [
        await place('ann', 'o-1'),
        await place('ann', 'o-1'),
        await place('ann', 'o-2'),
        await place('bob', 'o-3'),
      ];
      expect(answers.map(({ status, headers }) => [status, headers.get('idempotent-replayed')])).toEqual([
        [201, null],
        [201, 'true'],
        [422, null],
        [201, null],
      ]);
      expect(await answers[1]?.json()).toEqual({ orderId: 'o-1' });
      // The key of an order that is there: what the database refuses is an error, and is told as one.
      expect((await place('eve', 'o-1')).status).toBe(500);
      await eventually('the saga to complete', async () => {
        const answer = await fetch(`${url}/orders/o-1`);
        return JSON.stringify(await answer.json()) === '{"state":"accepted"}';
      });
      expect((await fetch(`${url}/orders/o-9`)).status).toBe(404);
      expect((await fetch(`${url}/readyz`)).status).toBe(200);
      const { rows } = await test.pool.query('SELECT topic FROM holdfast.outbox');
      expect(rows).toEqual([{ topic: 'order.placed' }, { topic: 'order.placed' }]);
      child.kill('SIGTERM');
      expect(await exit).toEqual([0, null]);
    } finally {
      child.kill('SIGKILL');
      await test.drop();
    }
  });
});

describe('docs/frameworks.md', () => {
  const page = readFileSync(join(ROOT, 'docs/frameworks.md'), 'utf8');
  const blocks = [...page.matchAll(/(?:<!-- from: (\S+) -->\n)?```ts\n([\s\S]*?)\n```/g)];

  it('shows parts of the examples, as they stand there', () => {
    expect(blocks.length).toBeGreaterThan(3);
    for (const [, file, text = ''] of blocks) {
      expect({ text, file }).toEqual({ text, file: expect.stringMatching(/^examples\//) as string });
      expect(readFileSync(join(ROOT, file ?? ''), 'utf8')).toContain(text);
    }
  });
});
