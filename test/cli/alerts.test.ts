/** `holdfast alerts`, and a daemon that watches, as processes: whom they tell, and what they never say. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SECRET, useWebhookReceiver } from '../operations/webhook-receiver.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { daemon, holdfast, type Daemon } from './process.ts';

const receiver = useWebhookReceiver();
const running: Daemon[] = [];
let test: TestDatabase;
let env: Record<string, string>;

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
});
beforeEach(async () => {
  env = { DATABASE_URL: test.url, HOLDFAST_ALERT_WEBHOOK_SECRET: SECRET };
  await test.pool.query('TRUNCATE holdfast.alert, holdfast.parked_delivery');
});
afterEach(async () => {
  for (const each of running.splice(0)) {
    each.child.kill('SIGKILL');
    await each.exit;
  }
});
afterAll(() => test.drop());

const park = () =>
  test.pool.query(
    `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, envelope, state, reason, attempts)
     VALUES ('billing', gen_random_uuid(), 'note.taken', '{}', 'failed', 'gave up', 5)`,
  );

describe('holdfast alerts', () => {
  it('says what is wrong, what to do, and that nobody watches', async () => {
    const well = await holdfast(['alerts'], { env });
    expect(well).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Nothing is wrong/) as string });
    await park();
    const { stdout } = await holdfast(['alerts'], { env });
    expect(stdout).toMatch(/new +Consumer billing has 1 parked message .*\[consumer-dead-letter\]/);
    expect(stdout).toMatch(/→ holdfast parked ls --consumer billing/);
    expect(stdout).toMatch(/Nobody watches/);
    const asJson = await holdfast(['alerts', '--json'], { env });
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      alerts: [{ kind: 'consumer-dead-letter', state: 'new', count: 1 }],
    });
  });

  it('--test sends a signed test and shows the answer; ends with 10 when it was not taken', async () => {
    const taken = await holdfast(['alerts', '--test', '--alert-webhook', receiver.url], { env });
    expect(taken).toMatchObject({ code: 0, stdout: expect.stringMatching(/took it, with 204/) as string });
    expect(receiver.received).toMatchObject([{ data: { type: 'alert.test' } }]);
    expect(taken.stdout).toContain(receiver.received[0]?.id);
    receiver.answer = () => ({ status: 403 });
    const refused = await holdfast(['alerts', '--test', '--alert-webhook', receiver.url], { env });
    expect(refused).toMatchObject({
      code: 10,
      stdout: expect.stringMatching(/did not take it: answered 403[\s\S]*said so/) as string,
    });
    expect(refused.stdout + refused.stderr).not.toContain(receiver.url);
  });

  it('says what is missing or wrong in the configuration, without showing it', async () => {
    const without = await holdfast(['alerts', '--alert-webhook', receiver.url], { env: { DATABASE_URL: test.url } });
    expect(without).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('HOLDFAST_ALERT_WEBHOOK_SECRET') as string,
    });
    expect(without.stderr).not.toContain(receiver.url);
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-alerts-'));
    try {
      await writeFile(join(folder, 'holdfast.config.ts'), 'export default { alerts: { rules: { stick: false } } };');
      const wrong = await holdfast(['alerts'], { env, cwd: folder });
      expect(wrong).toMatchObject({ code: 2, stderr: expect.stringMatching(/Did you mean "stuck"/) as string });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('a daemon', () => {
  it('tells the webhook what is wrong, and the log; a second one tells nothing more', async () => {
    await park();
    const args = [
      '--route',
      '**=q',
      '--transport',
      'postgres',
      '--idle-poll',
      '100ms',
      '--alert-webhook',
      receiver.url,
    ];
    const first = await daemon(args, { env });
    const second = await daemon(args, { env });
    running.push(first, second);
    await eventually('the webhook to be told', async () => receiver.received.length > 0);
    await Promise.race([first, second].map((each) => each.line('alert: Consumer billing has 1 parked')));
    await Promise.all([first, second].map((each) => each.url()));
    await test.pool.query(`UPDATE holdfast.alert_round SET next_at = '-infinity'`);
    for (const each of [first, second]) each.child.kill('SIGTERM');
    expect(await Promise.all([first.exit, second.exit])).toEqual([0, 0]);
    const dead = receiver.received.filter(({ data }) => data['kind'] === 'consumer-dead-letter');
    expect(dead).toHaveLength(1);
    expect(JSON.stringify([first.lines, second.lines])).not.toMatch(/whsec|\/alerts/);
  });
});
