/** The way past the outbox: one try, the same envelope, and the truth about what became of it. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { decodeEnvelope } from '../../src/message/envelope.ts';
import { createChecker } from '../../src/message/signing.ts';
import { message } from '../../src/message/message-type.ts';
import { createAtMostOnceSender } from '../../src/outbox/at-most-once.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { recordingTransport } from '../support/recording-transport.ts';

const Moved = message('courier.moved', {
  schema: z.object({ courier: z.string(), x: z.number() }),
  key: (m) => m.courier,
});

describe('sendAtMostOnce', () => {
  it('gives the broker the same envelope as the outbox would, at once', async () => {
    const transport = recordingTransport();
    const sender = createAtMostOnceSender({ transport, to: 'map', source: 'couriers' });
    const { id } = await sender.sendAtMostOnce(Moved, { courier: 'c1', x: 5 }, { headers: { tenant: 't' } });
    expect(transport.sent).toHaveLength(1);
    expect(transport.sent[0]).toMatchObject({ id, destination: 'map', topic: 'courier.moved', key: 'c1' });
    expect(decodeEnvelope(transport.sent[0]?.wire)).toMatchObject({
      id,
      topic: 'courier.moved',
      key: 'c1',
      source: 'couriers',
      version: 1,
      headers: { tenant: 't' },
      data: { courier: 'c1', x: 5 },
    });
    await sender.close();
  });

  it('is signed as a relay would, where it is asked for', async () => {
    const transport = recordingTransport();
    const keys = { k1: `whsec_${Buffer.alloc(32, 1).toString('base64')}` };
    const sender = createAtMostOnceSender({ transport, to: 'map', signing: { keys } });
    await sender.sendAtMostOnce(Moved, { courier: 'c1', x: 5 });
    const check = createChecker({ keys }, { destination: 'map', mostAgeMs: 60_000 }, 'test');
    expect(check(transport.sent[0]?.wire, Date.now())).toBeNull();
  });

  it('tries once, and says when the message is lost', async () => {
    const transport = recordingTransport();
    let calls = 0;
    transport.respond = async (batch) => {
      calls += 1;
      return batch.map(() => ({ kind: 'refused', permanent: false, error: new Error('busy') }));
    };
    const sender = createAtMostOnceSender({ transport, to: 'map' });
    await expect(sender.sendAtMostOnce(Moved, { courier: 'c1', x: 5 })).rejects.toMatchObject({
      code: 'HF_MESSAGE_REFUSED',
    });
    expect(calls).toBe(1);
  });

  it('does not wait longer than told for a broker that hangs', async () => {
    const faults = { publish: () => new Promise<void>(() => {}) };
    const sender = createAtMostOnceSender({ transport: createMemoryTransport({ faults }), to: 'map', timeout: 5 });
    await expect(sender.sendAtMostOnce(Moved, { courier: 'c1', x: 5 })).rejects.toMatchObject({
      code: 'HF_TRANSPORT_UNAVAILABLE',
    });
  });

  it('refuses bad input before anything is sent', async () => {
    const transport = recordingTransport();
    const sender = createAtMostOnceSender({ transport, to: 'map' });
    // @ts-expect-error a wrong payload does not compile either
    await expect(sender.sendAtMostOnce(Moved, { courier: 5 })).rejects.toMatchObject({ code: 'HF_PAYLOAD_INVALID' });
    // @ts-expect-error nor does a delay
    await expect(sender.sendAtMostOnce(Moved, { courier: 'c', x: 1 }, { delay: '1s' })).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
    expect(() => createAtMostOnceSender({ transport, to: '' })).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    expect(transport.sent).toEqual([]);
  });
});
