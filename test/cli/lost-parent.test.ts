/** A daemon below npx: the signal ends npx and its shell, and the daemon must not be left behind. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { watchParent } from '../../src/cli/daemon/lost-parent.ts';
import { createTestDatabase, sharedRedisUrl, uniquePrefix, type TestDatabase } from '../support/servers.ts';
import { daemon } from './process.ts';

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
});
afterAll(async () => {
  await test.drop();
});

describe('a daemon whose parent ends', () => {
  it('stops softly when npm had started it', async () => {
    const env = { DATABASE_URL: test.url, REDIS_URL: sharedRedisUrl(), npm_command: 'exec' };
    const relay = await daemon(['--route', `**=${uniquePrefix('orphan')}`], { env, shell: true });
    await relay.line('listening');
    relay.child.kill('SIGKILL');
    // Its output is closed, by which the test knows that it has ended.
    await relay.exit;
    expect(relay.lines.map(({ msg }) => msg)).toContainEqual(expect.stringMatching(/^what started this process/));
    expect(relay.lines.at(-1)?.msg).toMatch(/^stopped: everything in flight is done/);
  });

  it('is left alone when a shell or a supervisor had', () => {
    let parent = 42;
    let lost = 0;
    const end = watchParent(() => (lost += 1), { env: { PATH: '/bin' }, parent: () => parent });
    parent = 1;
    end();
    expect(lost).toBe(0);
  });
});
