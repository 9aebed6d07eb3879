/** Keys of signatures and values come from the environment or the configuration file, and from no flag. */
import { describe, expect, it } from 'vitest';
import { checkConfig } from '../../src/cli/config/load.ts';
import { ALL } from '../../src/cli/config/options.ts';
import { resolveRelay } from '../../src/cli/config/resolve.ts';
import { resolveWorker } from '../../src/cli/config/resolve-worker.ts';
import { createTransports } from '../../src/cli/config/transports.ts';
import { createAesGcmCodec } from '../../src/message/aes-gcm-codec.ts';
import type { HoldfastConfig } from '../../src/operations/config.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';

const A = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const B = `whsec_${Buffer.alloc(32, 2).toString('base64')}`;
const transport = createMemoryTransport();
const routes = [{ topics: '**', to: 'all' }];

function resolved(config: HoldfastConfig, env: Record<string, string> = {}) {
  const whole: HoldfastConfig = { transport, ...config };
  const database = { url: 'postgres://db/x' };
  const transports = createTransports({ given: {}, config: whole, database, onTransportError: () => {} });
  const inputs = { given: {}, config: whole, transports, env };
  const worker = resolveWorker({ ...inputs, config: { sagas: './sagas', ...whole } });
  return {
    codec: worker.codec,
    signing: resolveRelay({ ...inputs, config: { routes, ...whole } }).subscriptions.map(({ signing }) => signing),
    signatures: worker.replies?.signatures,
  };
}

/** Those of signatures. */
function keysOf(...given: Parameters<typeof resolved>) {
  const { signing, signatures } = resolved(...given);
  return { signing, signatures };
}

describe('keys of signatures', () => {
  it('are none unless somebody gives some', () => {
    expect(keysOf({})).toEqual({ signing: [undefined], signatures: undefined });
  });

  it('come from the file, a subscription’s own before those of all', () => {
    const own = { keys: { b: B } };
    const subscriptions = [
      { name: 'one', routes },
      { name: 'two', routes, signing: own },
    ];
    const signing = { keys: { a: A } };
    const replies = { signatures: { keys: { a: A }, required: false } };
    const config = checkConfig({ signing, subscriptions, sagas: { path: './sagas', replies } }, 'test');
    expect(keysOf(config)).toEqual({ signing: [signing, own], signatures: replies.signatures });
  });

  it('come from the environment before the file: the first signs', () => {
    const config = {
      signing: { keys: { old: B } },
      sagas: { path: './s', replies: { signatures: { keys: { old: B } } } },
    };
    const env = { HOLDFAST_SIGNING_KEYS: `a=${A} b=${B}`, HOLDFAST_SIGNATURE_KEYS: ` b=${B}\na=${A} ` };
    expect(keysOf(config, env)).toEqual({
      signing: [{ keys: { a: A, b: B }, use: 'a' }],
      signatures: { keys: { a: A, b: B } },
    });
  });

  it.each(['HOLDFAST_SIGNING_KEYS', 'HOLDFAST_SIGNATURE_KEYS'])('in %s are refused when they are none', (variable) => {
    expect(() => keysOf({}, { [variable]: A.slice(0, 12) })).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
  });

  it('of values come from the environment before the file: the first encrypts', () => {
    const codec = createAesGcmCodec({ keys: { old: Buffer.alloc(32, 3).toString('base64') } });
    expect(resolved({}).codec).toBeUndefined();
    expect(resolved({ codec }).codec).toBe(codec);
    const [a, b] = [4, 5].map((byte) => Buffer.alloc(32, byte).toString('base64'));
    const own = resolved({ codec }, { HOLDFAST_PAYLOAD_KEYS: `a=${a} b=${b}` }).codec;
    expect(own?.encode('1', 'here')).toContain('"$enc":"a"');
    expect(() => keysOf({}, { HOLDFAST_PAYLOAD_KEYS: 'a=short' })).toThrow(
      expect.objectContaining({ code: 'HF_CONFIG' }),
    );
  });

  it('have no flag', () => {
    expect(Object.values(ALL).flatMap(({ flag }) => (/sign|payload|codec/.test(flag) ? [flag] : []))).toEqual([]);
  });
});
