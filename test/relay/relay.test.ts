/** The relay end to end on a real database: what is committed goes out, in order, and it goes on where it stopped. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

it('publishes what is committed, in order, and nothing of a rollback', async () => {
  const { relay, transport } = await lab.relay();
  await lab.write({ n: 1 }, { n: 2 });
  const client = await lab.database.pool.connect();
  await client.query('BEGIN');
  await lab.send(client, { n: 3 });
  await client.query('ROLLBACK');
  await client.query('BEGIN');
  await lab.send(client, { n: 4 });
  await client.query('SAVEPOINT a');
  await lab.send(client, { n: 5 });
  await client.query('ROLLBACK TO a');
  await client.query('COMMIT');
  client.release();
  await relay.tick();
  expect(lab.numbers(transport)).toEqual([1, 2, 4]);
  await relay.tick();
  expect(transport.sent).toHaveLength(3);
});

it('goes on where it stopped', async () => {
  const first = await lab.relay();
  await lab.write({ n: 1 });
  await first.relay.tick();
  await first.relay.stop();
  await lab.write({ n: 2 });
  const second = await lab.relay();
  await second.relay.tick();
  expect(lab.numbers(second.transport)).toEqual([2]);
});

it('begins with what is written from now on when told so', async () => {
  await lab.write({ n: 1 });
  const { relay, transport } = await lab.relay({ from: 'now' });
  await lab.write({ n: 2 });
  await relay.tick();
  expect(lab.numbers(transport)).toEqual([2]);
});

it('gives every subscription everything', async () => {
  const one = await lab.relay({ name: 'one' });
  const two = await lab.relay({ name: 'two' });
  await lab.write({ n: 1 });
  await one.relay.tick();
  await two.relay.tick();
  expect([lab.numbers(one.transport), lab.numbers(two.transport)]).toEqual([[1], [1]]);
});

it('runs by itself when started, woken by writers while it sleeps, and stores its progress when stopped', async () => {
  const { relay, transport } = await lab.relay({ idlePoll: '1h' });
  await relay.start();
  // Asleep is visible to writers in the sequence; from then on only a NOTIFY can end the hour.
  await lab.until(
    async () =>
      (await lab.database.query('SELECT last_value FROM holdfast.relay_asleep')).rows[0]?.['last_value'] === '2',
  );
  // As another process would, of whose commits this one is told by the database alone.
  const client = await lab.database.pool.connect();
  await client.query('BEGIN');
  await lab.send(client, { n: 1 });
  await client.query('COMMIT');
  client.release(true);
  await lab.until(async () => transport.sent.length === 1);
  await relay.stop();
  const row = await lab.database.query('SELECT lease_owner, published FROM holdfast.subscription');
  expect(row.rows).toEqual([{ lease_owner: null, published: '1' }]);
});

it('moves scheduled messages into the log when they are due, and not before', async () => {
  const { relay, transport } = await lab.relay();
  await lab.database.transaction(async (tx) => {
    await lab.send(tx, { n: 2 }, { delay: 3_600_000 });
    await lab.send(tx, { n: 1 }, { deliverAt: new Date(0) });
  });
  await relay.tick();
  await relay.tick();
  expect(lab.numbers(transport)).toEqual([1]);
  await lab.database.query(`UPDATE holdfast.scheduled_message SET due_at = now()`);
  await relay.tick();
  expect(lab.numbers(transport)).toEqual([1, 2]);
});

it('is not held up by a scheduled message whose id is in the log already', async () => {
  const { relay, transport } = await lab.relay();
  const id = randomUUID();
  await lab.database.transaction(async (tx) => {
    await lab.send(tx, { n: 1 }, { id });
    await lab.send(tx, { n: 2 }, { id, deliverAt: new Date(0) });
    await lab.send(tx, { n: 3 }, { deliverAt: new Date(1) });
  });
  await relay.tick();
  expect(lab.numbers(transport)).toEqual([1, 3]);
});
