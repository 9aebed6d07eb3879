/** What a relay has parked, with another payload: what is shown of it, what is refused, what stands in the audit, and who publishes what. */
import { describe, expect, it } from 'vitest';
import { discardParked } from '../../src/operations/parked/interventions.ts';
import { listParked, showParked } from '../../src/operations/parked/parked.ts';
import { previewRevision, reviseParked } from '../../src/operations/parked/revise.ts';
import { messagePath } from '../../src/operations/path/message-path.ts';
import { showMessage } from '../../src/operations/reads/messages.ts';
import { relayStatus } from '../../src/operations/relay/relay-status.ts';
import { requestReplay } from '../../src/operations/relay/replays.ts';
import { runJob } from '../../src/operations/jobs/job-runner.ts';
import { startJob } from '../../src/operations/jobs/jobs.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { recordingTransport } from '../support/recording-transport.ts';
import { BAD_REVISIONS } from './bad-revisions.ts';
import { NOBODY, useLab } from './lab.ts';

const lab = useLab();
const me = { actor: 'anna', reason: 'the shop sent cents' };

/** One that is parked for good, and one that waits behind it; no relay runs. */
async function parkedPair() {
  const { relay, transport, ids } = await lab.withParked([{ n: 500 }, { n: 2 }], new Set([500]));
  await relay.stop();
  const [id = '', behind = ''] = ids;
  return { relay, transport, id, behind };
}

const sentBy = (transport: { data<T>(): T[] }): readonly number[] => transport.data<{ n: number }>().map(({ n }) => n);

describe('an edit', () => {
  it('is shown before, changes nothing then, and afterwards is what is there', async () => {
    const { relay, transport, id } = await parkedPair();
    expect(await previewRevision(lab.database, { id }, { patch: { n: 5 } })).toEqual({
      kind: 'relay',
      where: 'main',
      topic: 'note.taken',
      key: 'me',
      before: { n: 500 },
      after: { n: 5 },
      exact: true,
      inDoubt: false,
    });
    expect(await showParked(lab.database, id)).toMatchObject([{ state: 'dead', data: { n: 500 }, revised: false }]);
    expect(await lab.audit()).toEqual([]);

    expect(await reviseParked(lab.database, { id }, { patch: { n: 5 } }, me)).toEqual({
      kind: 'relay',
      where: 'main',
      id,
      replaces: id,
      topic: 'note.taken',
      key: 'me',
      inDoubt: false,
    });
    expect(await showParked(lab.database, id)).toMatchObject([
      {
        state: 'failed',
        data: { n: 5 },
        revised: true,
        attempts: 0,
        error: null,
        retryInMs: 0,
        waitingBehind: 1,
      },
    ]);
    expect(await lab.audit()).toEqual([
      {
        ...me,
        action: 'parked.revise',
        subject: `main/${id}`,
        details: { kind: 'relay', seq: 1, topic: 'note.taken', key: 'me', state: 'failed', bytes: 7, inDoubt: false },
      },
    ]);
    expect((await relayStatus(lab.database)).subscriptions[0]?.parked).toEqual({ failed: 1, behind: 1, dead: 0 });
    const path = await messagePath(lab.database, id);
    expect(path.relays).toMatchObject([
      { state: 'parked', revised: true, parked: { nextAttemptAt: expect.any(Date) as Date } },
    ]);
    expect(path.steps.find(({ kind }) => kind === 'relay')?.text).toBe(
      'has it parked; it was edited, and will go out with another payload than it was written with',
    );
    // The log, and what is said of it.
    expect(await showMessage(lab.database, id)).toMatchObject({ envelope: { data: { n: 500 } } });

    await relay.tick();
    expect(sentBy(transport)).toEqual([5, 2]);
    expect(await listParked(lab.database)).toEqual([]);
  });

  it('of an edited one begins with what it was edited to', async () => {
    const { id } = await parkedPair();
    await reviseParked(lab.database, { id }, { payload: { n: 5, more: [1] } }, me);
    expect(await previewRevision(lab.database, { id }, { patch: { n: 6 } })).toMatchObject({
      before: { n: 5, more: [1] },
      after: { n: 6, more: [1] },
    });
    await reviseParked(lab.database, { id }, { payload: null }, me);
    expect(await showParked(lab.database, id)).toMatchObject([{ data: null, revised: true }]);
  });

  it('keeps numbers that JavaScript cannot hold, and refuses to patch them', async () => {
    const { id } = await parkedPair();
    await lab.database.query(
      `UPDATE holdfast.outbox SET payload = '{"n": 500, "sum": 9007199254740993}' WHERE id = $1`,
      [id],
    );
    await expect(reviseParked(lab.database, { id }, { patch: { n: 5 } }, me)).rejects.toThrow(/would be altered/);
    expect(await previewRevision(lab.database, { id }, { payload: { n: 5 } })).toMatchObject({ exact: false });
    await reviseParked(lab.database, { id }, { payload: { n: 5 } }, me);
    expect(await previewRevision(lab.database, { id }, { patch: { n: 6 } })).toMatchObject({ exact: true });
  });

  it('keeps the headers that it was sent with', async () => {
    const { relay, transport, id } = await parkedPair();
    await lab.database.query(
      `UPDATE holdfast.outbox SET headers = headers || '{"headers": {"a": "b"}, "source": "shop"}'`,
    );
    await reviseParked(lab.database, { id }, { patch: { n: 5 } }, me);
    await relay.tick();
    expect(JSON.parse(transport.sent[0]?.wire ?? '')).toMatchObject({
      source: 'shop',
      headers: { a: 'b', 'holdfast-revises': id },
      data: { n: 5 },
    });
  });

  it('is taken up by a job that retries, and given up with the message', async () => {
    const { relay, transport, id } = await parkedPair();
    await reviseParked(lab.database, { id }, { patch: { n: 500, who: 'still refused' } }, me);
    await relay.tick();
    await relay.stop();
    expect(await listParked(lab.database, { state: 'dead' })).toMatchObject([{ id }]);
    transport.respond = undefined;
    const job = await startJob(lab.database, { kind: 'parked.retry', select: { dead: true } }, { ...me, expected: 1 });
    await runJob(lab.database, job.id);
    await relay.tick();
    await relay.stop();
    expect(transport.data()).toEqual([{ n: 500, who: 'still refused' }, { n: 2 }]);
    const again = await parkedPair();
    await reviseParked(lab.database, { id: again.id }, { patch: { n: 5 } }, me);
    await discardParked(lab.database, { id: again.id }, me);
    await again.relay.tick();
    expect(sentBy(again.transport)).toEqual([2]);
  });

  it('is of one subscription: others and replays publish what was written', async () => {
    const { relay, transport, id } = await parkedPair();
    await reviseParked(lab.database, { id }, { patch: { n: 5 } }, me);
    const other = recordingTransport();
    const second = createRelay({
      database: lab.database,
      subscriptions: [{ name: 'other', transport: other, routes: [{ topics: '**', to: 'all' }], from: 'beginning' }],
    });
    await second.prepare();
    try {
      await second.tick();
    } finally {
      await second.stop();
    }
    expect(sentBy(other)).toEqual([500, 2]);
    await requestReplay(lab.database, { subscription: 'main', fromSeq: 1, toSeq: 1 }, me);
    transport.respond = undefined;
    await relay.tick();
    await relay.stop();
    await relay.tick();
    expect(sentBy(transport)).toEqual([5, 2, 500]);
  });
});

describe('it is refused', () => {
  it('without a reason, for what is not parked, and where it is not said which of several places', async () => {
    const { id } = await parkedPair();
    const act = (selection: { readonly id: string; readonly consumer?: string }, reason = 'x') =>
      reviseParked(lab.database, selection, { patch: {} }, { ...me, reason });
    await expect(act({ id }, ' ')).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(act({ id: NOBODY })).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
    await lab.parkDelivery('shipping', id);
    await expect(act({ id })).rejects.toThrow(/relay main, consumer shipping/);
    expect(await lab.audit()).toEqual([]);
  });

  it.each(BAD_REVISIONS)('for %s, before anything is written', async (_, revision) => {
    const { id } = await parkedPair();
    const given = revision as { payload: unknown };
    const refused = { code: expect.stringMatching(/^HF_(CONFIG|PAYLOAD_\w+)$/) as string };
    await expect(reviseParked(lab.database, { id }, given, me)).rejects.toMatchObject(refused);
    await expect(previewRevision(lab.database, { id }, given)).rejects.toMatchObject(refused);
    expect(await showParked(lab.database, id)).toMatchObject([{ state: 'dead', data: { n: 500 }, revised: false }]);
    expect(await lab.audit()).toEqual([]);
  });

  it('for one whose data is elsewhere, or whose row of the log is gone', async () => {
    const { id } = await parkedPair();
    const act = () => reviseParked(lab.database, { id }, { payload: 1 }, me);
    await lab.database.query(`UPDATE holdfast.outbox SET headers = headers || '{"dataref": "s3://a"}'`);
    await expect(act()).rejects.toThrow(/dataref/);
    await lab.database.query('DELETE FROM holdfast.outbox');
    await expect(act()).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
      message: expect.stringMatching(/not in the log/) as string,
    });
  });

  it('with its row of the audit, or not at all', async () => {
    const { id } = await parkedPair();
    await lab.database.query('ALTER TABLE holdfast.audit ADD CONSTRAINT no_audit CHECK (false) NOT VALID');
    try {
      await expect(reviseParked(lab.database, { id }, { patch: { n: 5 } }, me)).rejects.toThrow(/no_audit/);
    } finally {
      await lab.database.query('ALTER TABLE holdfast.audit DROP CONSTRAINT no_audit');
    }
    expect(await showParked(lab.database, id)).toMatchObject([{ state: 'dead', data: { n: 500 }, revised: false }]);
  });
});
