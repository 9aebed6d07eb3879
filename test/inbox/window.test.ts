/**
 * The windows of recently seen ids, by their common duties and by what each forgets.
 */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createRedisWindow } from '../../src/inbox/window/window-redis.ts';
import { createMemoryWindow } from '../../src/inbox/window/window.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { dedupWindowConformance } from '../conformance/dedup-window.ts';
import { eventually } from '../support/eventually.ts';
import { sharedRedisUrl, uniquePrefix } from '../support/servers.ts';

dedupWindowConformance('memory', async () => ({ make: () => createMemoryWindow() }));
dedupWindowConformance('redis', async () => {
  const prefix = uniquePrefix();
  return { make: () => createRedisWindow({ connection: sharedRedisUrl(), prefix }) };
});

describe('a memory window', () => {
  it('forgets by age', async () => {
    const clock = createManualClock();
    const window = createMemoryWindow({ ttl: '10s', clock });
    await window.mark('c', 'a');
    await clock.advance('9s');
    expect(await window.seen('c', 'a')).toBe(true);
    await clock.advance('1s');
    expect(await window.seen('c', 'a')).toBe(false);
  });

  it('forgets the oldest when it is full; marking again makes young', async () => {
    const window = createMemoryWindow({ size: 2 });
    for (const id of ['a', 'b', 'a', 'c']) await window.mark('c', id);
    const seen = await Promise.all(['a', 'b', 'c'].map((id) => window.seen('c', id)));
    expect(seen).toEqual([true, false, true]);
  });

  it.each([[{ size: 0 }, 'HF_CONFIG'] as const, [{ ttl: 0 }, 'HF_CONFIG'] as const])('refuses %o', (options, code) => {
    expect(() => createMemoryWindow(options)).toThrow(expect.objectContaining({ code }));
  });
});

describe('a Redis window', () => {
  it('is shared by processes, and forgets by age', async () => {
    const prefix = uniquePrefix();
    const options = { connection: sharedRedisUrl(), prefix, ttl: '1s' } as const;
    const [one, two] = [createRedisWindow(options), createRedisWindow(options)];
    const id = randomUUID();
    await one.mark('c', id);
    expect(await two.seen('c', id)).toBe(true);
    await eventually('Redis to expire the id', async () => !(await two.seen('c', id)));
    await Promise.all([one.close(), two.close()]);
  });

  it('says that it cannot be reached instead of "not seen"', async () => {
    const window = createRedisWindow({ connection: 'redis://127.0.0.1:1' });
    await expect(window.seen('c', 'a')).rejects.toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE' });
    await expect(window.mark('c', 'a')).rejects.toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE' });
    await window.close();
  });
});
