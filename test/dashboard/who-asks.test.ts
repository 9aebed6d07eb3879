/** Who is asking, of several things that may say so: which of them counts, what a failure costs, and who sits at this machine. */
import { describe, expect, it } from 'vitest';
import { createLoginLimit } from '../../src/dashboard/server/login-limit.ts';
import { proxyAuthenticator } from '../../src/dashboard/server/proxy-authenticator.ts';
import type { RequestFacts } from '../../src/dashboard/server/request-facts.ts';
import { createSessions } from '../../src/dashboard/server/sessions.ts';
import { tokenAuthenticator } from '../../src/dashboard/server/token-authenticator.ts';
import { createAskers } from '../../src/dashboard/server/who-asks.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';

const TOKEN = 'correct-horse-battery';
const ELSEWHERE: RequestFacts = {
  peer: '203.0.113.1',
  client: '203.0.113.1',
  host: 'ops.test',
  calledName: 'ops.test',
  https: false,
  passedOn: false,
};
const HERE: RequestFacts = { ...ELSEWHERE, peer: '127.0.0.1', client: '127.0.0.1', calledName: 'localhost' };
const BY_PROXY: RequestFacts = { ...ELSEWHERE, peer: '10.0.0.1', passedOn: true };

function door() {
  const clock = createManualClock();
  const sessions = createSessions({ clock, lifeMs: 3_600_000, basePath: '', key: undefined, fingerprint: '' });
  const limit = createLoginLimit(clock);
  const authenticators = [
    proxyAuthenticator({ from: ['10.0.0.1'], everybody: 'viewer' }),
    tokenAuthenticator([`otto:operator:${TOKEN}`]),
  ];
  const askers = createAskers({ authenticators, anonymous: { actor: 'anonymous', role: 'admin' }, sessions, limit });
  const cookie = sessions.begin({ actor: 'sara', role: 'viewer' }, false).split(';')[0] ?? '';
  const ask = async (headers: Readonly<Record<string, string>>, facts = ELSEWHERE) =>
    askers.find({ facts, header: (name) => headers[name] ?? null });
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  return { askers, ask, bearer, cookie };
}

describe('of several things that say who it is', () => {
  it('a token counts before a session, and a session before what a proxy says', async () => {
    const { ask, bearer, cookie } = door();
    const told = { 'x-forwarded-user': 'peter' };
    const all = { ...bearer(TOKEN), cookie, ...told };
    expect(await ask(all, BY_PROXY)).toMatchObject({ actor: 'otto', session: null, ambient: false });
    // Browsers and proxies add these by themselves: such requests are defended against pages of others.
    expect(await ask({ cookie, ...told }, BY_PROXY)).toMatchObject({ actor: 'sara', ambient: true });
    expect(await ask(told, BY_PROXY)).toMatchObject({ actor: 'peter', session: null, ambient: true });
    expect(await ask(told)).toBeNull();
  });

  it('a token that is wrong is refused, whatever else would have let in', async () => {
    const { ask, bearer, cookie } = door();
    const wrong = { ...bearer('a-token-that-is-wrong'), cookie };
    await expect(ask(wrong)).rejects.toMatchObject({ status: 401 });
    await expect(ask(wrong, HERE)).rejects.toMatchObject({ status: 401 });
  });
});

describe('who sits at the machine', () => {
  it('is let in, and is told apart from who comes by way of it', async () => {
    const { ask } = door();
    expect(await ask({}, HERE)).toMatchObject({ actor: 'anonymous', role: 'admin', ambient: true });
    expect(await ask({}, { ...HERE, calledName: 'ops.test' })).toBeNull();
    expect(await ask({}, { ...HERE, passedOn: true })).toBeNull();
    expect(await ask({}, { ...HERE, peer: '203.0.113.1' })).toBeNull();
    expect(await ask({}, { ...HERE, peer: null })).toBeNull();
  });
});

describe('ten failures', () => {
  const failTen = async (fail: () => Promise<unknown>): Promise<void> => {
    for (let tries = 0; tries < 10; tries += 1) await expect(fail()).rejects.toMatchObject({ status: 401 });
    await expect(fail()).rejects.toMatchObject({ status: 429 });
  };

  it('by the header are enough: then a right token is not even looked at, nor the form', async () => {
    const { askers, ask, bearer } = door();
    await failTen(() => ask(bearer('a-token-that-is-wrong')));
    await expect(ask(bearer(TOKEN))).rejects.toMatchObject({ status: 429 });
    await expect(askers.login(TOKEN, ELSEWHERE)).rejects.toMatchObject({ status: 429 });
    // Of who is behind a proxy, and of nobody else who comes by it.
    expect(await ask(bearer(TOKEN), { ...BY_PROXY, client: '203.0.113.2' })).toMatchObject({ actor: 'otto' });
    await expect(ask(bearer(TOKEN), BY_PROXY)).rejects.toMatchObject({ status: 429 });
  });

  it('by the form are, too', async () => {
    const { askers, ask, bearer, cookie } = door();
    expect(await askers.login(TOKEN, ELSEWHERE)).toEqual({ actor: 'otto', role: 'operator' });
    await failTen(() => askers.login('a-token-that-is-wrong', ELSEWHERE));
    await expect(ask(bearer(TOKEN))).rejects.toMatchObject({ status: 429 });
    // Who is logged in goes on.
    expect(await ask({ cookie })).toMatchObject({ actor: 'sara' });
  });
});
