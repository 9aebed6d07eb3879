/**
 * Names that others rely on: the headers of a call, the order in which messages of a run travel, and the ids of children.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { laneOf } from '../../src/outbox/lane.ts';
import { childRunId } from '../../src/saga/protocol/child-id.ts';
import { prepareSagaMessage } from '../../src/saga/protocol/commands.ts';
import { callKey, readSagaCall, SAGA_HEADERS } from '../../src/saga/protocol/wire.ts';

const RUN = '01890a5d-ac96-774b-bcce-b302099a8057';
const headers = (more: Readonly<Record<string, string>> = {}) => ({
  [SAGA_HEADERS.run]: RUN,
  [SAGA_HEADERS.call]: 'reserve',
  ...more,
});

describe('the headers of a call', () => {
  it('name a command unless they say otherwise, and of a compensation what is known of its command', () => {
    expect(readSagaCall(headers())).toEqual({
      runId: RUN,
      call: 'reserve',
      role: 'command',
      replyTo: 'saga.reply',
      outcome: null,
    });
    const compensation = headers({ [SAGA_HEADERS.role]: 'compensation' });
    expect(readSagaCall(compensation)).toMatchObject({ role: 'compensation', outcome: 'unknown' });
    expect(readSagaCall({ ...compensation, [SAGA_HEADERS.outcome]: 'done' })).toMatchObject({ outcome: 'done' });
    expect(readSagaCall(headers({ [SAGA_HEADERS.outcome]: 'done' }))).toMatchObject({ outcome: null });
  });

  it('name the same run in capitals', () => {
    const capitals = headers({ [SAGA_HEADERS.run]: RUN.toUpperCase() });
    expect(readSagaCall(capitals)?.runId).toBe(RUN);
    expect(callKey(capitals)).toBe(callKey(headers()));
    expect(callKey(headers({ [SAGA_HEADERS.call]: 'other' }))).not.toBe(callKey(headers()));
  });

  it('are none when neither run nor call is there, and are refused when only one is', () => {
    expect([readSagaCall({}), callKey({})]).toEqual([null, null]);
    for (const half of [{ [SAGA_HEADERS.run]: RUN }, { [SAGA_HEADERS.call]: 'reserve' }])
      expect(() => readSagaCall(half)).toThrow(expect.objectContaining({ code: 'HF_ENVELOPE_INVALID' }));
  });

  it.each<[string, Readonly<Record<string, string>>]>([
    ['a run that is no UUID', { [SAGA_HEADERS.run]: 'r-1' }],
    ['an empty call', { [SAGA_HEADERS.call]: '' }],
    ['a call that no index takes', { [SAGA_HEADERS.call]: 'x'.repeat(501) }],
    ['a call that no database takes', { [SAGA_HEADERS.call]: 'a\u0000b' }],
    ['a role that is none', { [SAGA_HEADERS.role]: 'undo' }],
    ['an outcome that is none', { [SAGA_HEADERS.outcome]: 'maybe' }],
  ])('are refused with %s', (_, more) => {
    expect(() => readSagaCall(headers(more))).toThrow(expect.objectContaining({ code: 'HF_ENVELOPE_INVALID' }));
  });
});

describe('a message of a run', () => {
  const sender = { id: RUN, settings: { maxBytes: 10_000 } };
  const schema = z.object({ id: z.string() });
  const prepare = async (type: Parameters<typeof prepareSagaMessage>[1]['type']) =>
    JSON.parse(await prepareSagaMessage(sender, { type, payload: { id: 'o-1' } })) as unknown;

  it('stands in the order of its run, so that a compensation follows its command', async () => {
    expect(await prepare(message('stock.reserve', { schema }))).toMatchObject({ key: RUN, lane: laneOf(RUN) });
  });

  it('stands in the order that its type says, if it says one', async () => {
    const type = message('stock.reserve', { schema, key: ({ id }) => id });
    expect(await prepare(type)).toMatchObject({ key: 'o-1', lane: laneOf('o-1') });
  });
});

describe('the id of a child', () => {
  it('follows from parent and call alone, also in versions to come', () => {
    expect(childRunId(RUN, 'hotel')).toBe('01890a5d-ac96-84a8-9a77-5a6b432bb45b');
    expect(childRunId(RUN, 'hotel:2')).not.toBe(childRunId(RUN, 'hotel'));
    expect(childRunId(RUN.replace('8057', '8058'), 'hotel')).not.toBe(childRunId(RUN, 'hotel'));
  });
});
