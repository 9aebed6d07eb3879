/**
 * What participants answer, whatever keeps the records of their calls. Run on PostgreSQL and in memory
 * (test/testing/messages/participant-conformance.test.ts).
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Rejection } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { handleFor, type ParticipantHandler } from '../../src/saga/participant/handle.ts';
import type { MessageTest } from '../../src/testing/messages/message-test.ts';

const Reserve = message('stock.reserve', { schema: z.object({ sku: z.string(), count: z.int() }) });
const Reserved = message('stock.reserved', { schema: z.object({ shelf: z.string() }) });
const Release = message('stock.release', { schema: z.object({ sku: z.string() }) });

export interface ParticipantHarness {
  /** `note` is an effect in the transaction of the handler, by the `tx` that the handler was given. */
  make(handlers: (note: (tx: never, what: string) => Promise<void>) => readonly ParticipantHandler<never>[]): Promise<{
    readonly test: Pick<MessageTest<unknown>, 'command' | 'compensate'>;
    /** Effects that are committed, oldest first. */
    readonly effects: () => Promise<readonly string[]>;
    readonly close: () => Promise<void>;
  }>;
  dispose(): Promise<void>;
}

export function describeParticipant(name: string, open: () => Promise<ParticipantHarness>): void {
  describe(`a participant ${name}`, () => {
    let harness: ParticipantHarness;
    let made: Awaited<ReturnType<ParticipantHarness['make']>>;
    beforeAll(async () => {
      harness = await open();
      made = await harness.make((note) => {
        const handle = handleFor<never>();
        return [
          handle(Reserve, { reply: Reserved }, async ({ sku, count }, { tx }) => {
            await note(tx, `reserve ${sku}`);
            if (count > 9) throw new Rejection('sold out');
            return { shelf: `shelf of ${sku}` };
          }),
          handle(Release, { compensates: Reserve, reply: Reserved }, async ({ sku }, { tx, command, reply }) => {
            await note(tx, `release ${command?.count} of ${sku} from ${reply?.shelf}`);
          }),
        ];
      });
    });
    afterAll(async () => {
      await made.close();
      await harness.dispose();
    });
    const of = async (sku: string): Promise<readonly string[]> =>
      (await made.effects()).filter((what) => what.includes(` ${sku}`));

    it('does a command once, and answers what comes again from its record', async () => {
      const { test } = made;
      const first = await test.command(Reserve, { sku: 'a', count: 1 }, { times: 3 });
      expect({ reply: first.reply, replies: first.replies }).toMatchObject({
        reply: { outcome: 'done', output: { shelf: 'shelf of a' } },
        replies: 1,
      });
      const { runId, call } = first;
      const again = await test.command(Reserve, { sku: 'a', count: 1 }, { runId, call });
      expect(again.reply).toEqual(first.reply);
      expect(await of('a')).toEqual(['reserve a']);
    });

    it('takes back what a refused command has written, and refuses it again', async () => {
      const { test } = made;
      const refused = await test.command(Reserve, { sku: 'b', count: 10 });
      expect(refused.reply).toMatchObject({ outcome: 'rejected', error: { message: 'sold out' } });
      const { runId, call } = refused;
      expect((await test.command(Reserve, { sku: 'b', count: 10 }, { runId, call })).reply).toEqual(refused.reply);
      expect((await test.compensate(Release, { sku: 'b' }, { of: refused })).reply).toMatchObject({ outcome: 'done' });
      expect(await of('b')).toEqual([]);
    });

    it('compensates from its record, once, and refuses the command from then on', async () => {
      const { test } = made;
      const done = await test.command(Reserve, { sku: 'c', count: 2 });
      await test.compensate(Release, { sku: 'c' }, { of: done, times: 2 });
      expect((await test.compensate(Release, { sku: 'c' }, { of: done })).reply).toMatchObject({ outcome: 'done' });
      const { runId, call } = done;
      expect((await test.command(Reserve, { sku: 'c', count: 2 }, { runId, call })).reply).toMatchObject({
        outcome: 'rejected',
        error: { message: expect.stringContaining('compensated') },
      });
      expect(await of('c')).toEqual(['reserve c', 'release 2 of c from shelf of c']);
    });

    it('leaves a mark for a compensation that comes first', async () => {
      const { test } = made;
      const { runId, call, reply } = await test.compensate(Release, { sku: 'd' });
      expect(reply).toMatchObject({ outcome: 'done' });
      expect((await test.command(Reserve, { sku: 'd', count: 1 }, { runId, call })).reply).toMatchObject({
        outcome: 'rejected',
      });
      expect(await of('d')).toEqual([]);
    });

    it('refuses to compensate what is not on record', async () => {
      const { test } = made;
      const done = await test.command(Reserve, { sku: 'e', count: 1 });
      expect((await test.compensate(Release, { sku: 'zz' }, { of: done })).reply).toMatchObject({
        outcome: 'rejected',
        error: { code: 'HF_NOT_ON_RECORD' },
      });
      expect((await test.compensate(Release, { sku: 'zz' }, { outcome: 'done' })).reply).toMatchObject({
        outcome: 'rejected',
        error: { code: 'HF_NOT_ON_RECORD' },
      });
      expect(await of('zz')).toEqual([]);
    });

    it('has a command and its compensation that come at once take turns', async () => {
      const { test } = made;
      const [runId, call] = ['0197d6b0-0000-7000-8000-00000000000a', 'g'];
      await Promise.all([
        test.command(Reserve, { sku: 'g', count: 1 }, { runId, call }),
        test.compensate(Release, { sku: 'g' }, { runId, call }),
      ]);
      expect([[], ['reserve g', 'release 1 of g from shelf of g']]).toContainEqual(await of('g'));
    });
  });
}
