/** A route whose pattern can be divided in very many ways costs neither the relay nor the database its time. */
import { expect, it, onTestFinished } from 'vitest';
import { createRelayLab } from '../support/relay-lab.ts';

it('a relay with such a route brings out what it has, and passes over the rest', async () => {
  const lab = await createRelayLab();
  onTestFinished(() => lab.close());
  const pattern = `${Array.from({ length: 39 }, () => '**.a').join('.')}.z`;
  const { relay, transport } = await lab.relay({ routes: [{ topics: pattern, to: 'all' }] });
  const long = Array.from({ length: 95 }, () => 'a').join('.');
  await lab.database.query(`SELECT holdfast.send(topic, '{}') FROM unnest($1::text[]) AS topic`, [
    [long, `${long}.z`, long, 'a.z'],
  ]);
  await relay.tick();
  expect(transport.sent.map(({ topic }) => topic)).toEqual([`${long}.z`]);
});
