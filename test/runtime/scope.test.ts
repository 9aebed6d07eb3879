/** Whose code runs: rejections that nobody awaits go to their owner, those of others stay Node's; contexts do not mix. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { inNoContext, inScope, type Owner } from '../../src/runtime/scope.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function owner(): Owner & { readonly strays: unknown[]; awaitedLater: number } {
  const told = {
    strays: [] as unknown[],
    awaitedLater: 0,
    stray: (error: unknown) => void told.strays.push(error),
    awaited: () => void (told.awaitedLater += 1),
  };
  return told;
}

describe('rejections', () => {
  it('are told to whose code made the promise, whoever settled it', async () => {
    const [mine, other] = [owner(), owner()];
    let reject: (error: Error) => void = () => {};
    inScope(mine, () => {
      const call = new Promise<never>((_, fail) => (reject = fail));
      call.catch(() => {});
      void (async () => {
        await call;
      })();
    });
    inScope(other, () => reject(new Error('told')));
    await turn();
    expect(mine.strays).toEqual([new Error('told')]);
    expect(other.strays).toEqual([]);
  });

  it('that are awaited later are said to be', async () => {
    const mine = owner();
    const left = inScope(mine, () => Promise.reject(new Error('early')));
    await turn();
    expect(mine.strays).toHaveLength(1);
    await expect(left).rejects.toThrow('early');
    await turn();
    expect(mine.awaitedLater).toBe(1);
  });

  it.each([
    ['', 'Error: foreign', 1],
    [
      "process.on('unhandledRejection', (e) => console.log('listener heard ' + e.message));",
      'listener heard foreign',
      0,
    ],
  ])('of others stay what they are (%s)', (listener, expected, code) => {
    const script = `
      import('./node_modules/jiti/lib/jiti.mjs').then(async ({ createJiti }) => {
        const { inScope } = await createJiti(process.cwd() + '/x.js').import(process.cwd() + '/src/runtime/scope.ts');
        ${listener}
        inScope({ stray: (e) => console.log('owner heard ' + e.message) }, () => void Promise.reject(new Error('own')));
        setTimeout(() => void Promise.reject(new Error('foreign')), 10);
      });`;
    let text = '';
    let status = 0;
    try {
      text = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      const failed = error as { readonly stdout: string; readonly stderr: string; readonly status: number };
      text = failed.stdout + failed.stderr;
      ({ status } = failed);
    }
    expect(text).toContain('owner heard own');
    expect(text).toContain(expected);
    expect(text).not.toContain('listener heard own');
    expect(status).toBe(code);
  });
});

describe('contexts', () => {
  it('of whoever calls are not seen', async () => {
    const tenant = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    await tenant.run('a', async () => {
      await inScope(owner(), async () => {
        seen.push(tenant.getStore());
        await turn();
        seen.push(tenant.getStore());
      });
      inNoContext(() => seen.push(tenant.getStore()));
      seen.push(tenant.getStore());
    });
    expect(seen).toEqual([undefined, undefined, undefined, 'a']);
  });
});
