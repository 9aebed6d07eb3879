/**
 * Replies that come twice, late, in another order, that cannot be read or say the opposite of what was said before; and compensations
 * that come before their commands (I7-I10, I13).
 *
 * Fails when the second answer to a command counts, when a late one is dropped that says that something was done, and when a
 * participant does what was compensated before it came.
 */
import { expect, it } from 'vitest';
import { createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import type { Transport } from '../../src/transport/port.ts';
import { eventually } from '../support/eventually.ts';
import { FAULTS_BROKER } from '../support/faults/consumers.ts';
import { seeded, type Random } from '../support/faults/random.ts';
import { SAGA_SUBSCRIPTION } from '../support/faults/saga-parts.ts';
import { drawPlan, plan } from '../support/faults/saga-plan.ts';
import { createSagaWorld, type SagaWorld } from '../support/faults/saga-world.ts';

it('the first answer counts, whatever else is said', () => seeded(scenario));

async function scenario(random: Random): Promise<void> {
  const world = await createSagaWorld();
  try {
    await world.relay('relay');
    await world.participant();
    await world.worker('worker');
    const gossip = startGossip(world, random.fork('gossip'));
    for (let from = 0; from < 80; from += 20) {
      await world.start(Array.from({ length: 20 }, (_, n) => drawPlan(from + n, random)));
      // Run messages come all the time, so only the runs are looked at.
      await eventually('the runs to end', async () => Object.keys(await world.statuses()).every(isEnd));
    }
    expect(await gossip.stop()).toBeGreaterThan(100);
    await world.settled({ messages: true });
    expect(await world.breaches()).toEqual([]);
    expect(await world.statuses()).toMatchObject({
      completed: expect.any(Number) as unknown,
      compensated: expect.any(Number) as unknown,
    });
  } finally {
    await world.close();
  }
}

const isEnd = (status: string): boolean => /^complet|^compensated|^stuck/.test(status);

interface Reply {
  readonly runId: string;
  readonly to: 'command' | 'compensation';
  readonly outcome: 'done' | 'rejected';
}

/** Says again, at random times, what participants have said, and other things as well, but never before them. */
function startGossip(world: SagaWorld, random: Random): { stop(): Promise<number> } {
  let stopping = false;
  let said = 0;
  const say = async (runId: string, body: object): Promise<void> => {
    const statuses = ['pending', 'running', 'waiting', 'compensating', 'completed', 'compensated', 'stuck'];
    await world.pool.query(`SELECT holdfast.send_saga_mail($1, 'reply', $2, $3, false)`, [
      runId,
      JSON.stringify({ kind: 'reply', ...body }),
      statuses,
    ]);
    said += 1;
  };
  const talk = async (): Promise<void> => {
    while (!stopping) {
      const { rows } = await world.pool.query<{ reply: Reply }>(
        `SELECT payload AS reply FROM holdfast.outbox o WHERE topic = 'saga.reply' AND NOT EXISTS
           (SELECT 1 FROM holdfast.saga_mail m WHERE m.saga_id = (o.payload ->> 'runId')::uuid) ORDER BY random() LIMIT 3`,
      );
      for (const { reply } of rows) {
        const { runId, ...body } = reply;
        await say(runId, body);
        if (await isKnown(world, reply)) {
          if (random.chance(0.5)) await say(runId, { ...body, outcome: body.outcome === 'done' ? 'rejected' : 'done' });
          if (random.chance(0.3)) await say(runId, { ...body, outcome: 'done', output: 'what nobody can read' });
        }
        await say(runId, { ...body, call: 'nobody' });
      }
      await new Promise((resolve) => {
        setTimeout(resolve, 2);
      });
    }
  };
  const talking = talk();
  talking.catch(() => {});
  return {
    async stop() {
      stopping = true;
      await talking;
      return said;
    },
  };
}

/** Whether the journal has what the participant said: only then is something else a contradiction. */
async function isKnown(world: SagaWorld, { runId, to }: Reply): Promise<boolean> {
  const { rowCount } = await world.pool.query(
    `SELECT 1 FROM holdfast.saga_journal j, json_array_elements(j.events) AS e
     WHERE j.saga_id = $1 AND e ->> 'call' = 'reserve' AND e ->> 't' = ANY ($2)`,
    [runId, to === 'command' ? ['done', 'failed'] : ['compensated']],
  );
  return (rowCount ?? 0) > 0;
}

it('replies that are delivered twice and three times, to two workers that share their queue, are told once', () =>
  seeded(async (random) => {
    const world = await createSagaWorld();
    const transport = createBullmqTransport({
      connection: world.redis.url,
      prefix: world.redis.prefix,
      ...FAULTS_BROKER,
    });
    try {
      await world.relay('relay');
      await world.participant();
      const replies = { transport: doubling(transport, random.fork('twice')) };
      for (const by of ['one', 'other']) await world.worker(by, { replies });
      for (let from = 0; from < 40; from += 20) {
        await world.start(Array.from({ length: 20 }, (_, n) => drawPlan(from + n, random)));
        await eventually('the runs to end', async () => Object.keys(await world.statuses()).every(isEnd));
      }
      await world.settled({ messages: true });
      expect(await world.breaches()).toEqual([]);
    } finally {
      await world.close();
      await transport.close();
    }
  }));

/** Hands out everything at least twice: at once, or after it was handled, as if the process had died before it was acknowledged. */
function doubling(transport: Transport, random: Random): Transport {
  return {
    ...transport,
    receiver: (destination, handle, options) =>
      transport.receiver(
        destination,
        async (delivery) => {
          const verdicts = await Promise.all(
            random.chance(0.5) ? [handle(delivery), handle(delivery)] : [handle(delivery)],
          );
          const last = await handle(random.chance(0.3) ? { ...delivery, redeliveries: 1 } : delivery);
          return verdicts.find(({ kind }) => kind === 'later') ?? last;
        },
        options,
      ),
  };
}

it('a reply that cannot be read leaves it open what was done, and all of it is compensated', async () => {
  const world = await createSagaWorld();
  try {
    await world.worker('worker');
    const ids = await world.start(Array.from({ length: 5 }, (_, n) => plan(n)));
    await eventually('the commands to be written', async () => {
      const { rowCount } = await world.pool.query(`SELECT 1 FROM holdfast.outbox WHERE topic = 'faults.reserve'`);
      return rowCount === 5;
    });
    const body = { kind: 'reply', call: 'reserve', to: 'command', outcome: 'done', output: { reservation: 7 } };
    for (const id of ids)
      await world.pool.query(`SELECT holdfast.send_saga_mail($1, 'reply', $2, '{running,waiting}', false)`, [
        id,
        JSON.stringify(body),
      ]);
    await world.relay('relay');
    await world.participant();
    await world.settled({ messages: true });
    expect(await world.breaches()).toEqual([]);
    expect(await world.statuses()).toEqual({ compensated: 5 });
  } finally {
    await world.close();
  }
});

it('a compensation that comes before its command sees to it that it never happens', async () => {
  const world = await createSagaWorld({ replyTimeout: 60 });
  try {
    await world.participant();
    await world.worker('worker');
    const routes = SAGA_SUBSCRIPTION.routes.filter(({ topics }) => topics !== 'faults.reserve');
    await world.relay('all but commands', undefined, { name: 'back', routes });
    await world.start(Array.from({ length: 10 }, (_, n) => plan(n)));
    await world.settled();
    expect(await world.statuses()).toEqual({ compensated: 10 });
    await world.relay('commands', undefined, { name: 'forth', routes: [{ topics: 'faults.reserve', to: 'stock' }] });
    await world.settled({ messages: true });
    const { rows } = await world.pool.query(
      'SELECT state, count(*)::int FROM holdfast.participant_call GROUP BY state',
    );
    expect(rows).toEqual([{ state: 'tombstone', count: 10 }]);
    expect(await world.breaches()).toEqual([]);
  } finally {
    await world.close();
  }
});
