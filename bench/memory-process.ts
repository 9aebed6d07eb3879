/**
 * The process that memory.ts measures: drains the outbox at argv[2] of argv[3] messages and sends its samples to its parent.
 */
import { openDatabase } from '../src/postgres/database.ts';
import { createRelay } from '../src/relay/relay.ts';
import type { Sample } from './memory.ts';
import { noopSink } from './support/sink.ts';

const [url = '', count = ''] = process.argv.slice(2);
const messages = Number(count);
const samples: Sample[] = [];

const sink = noopSink((batch, before) => {
  const drained = before + batch.length;
  if (Math.floor((before * 5) / messages) === Math.floor((drained * 5) / messages)) return;
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, rss } = process.memoryUsage();
  samples.push({ drained, heap: heapUsed, rss });
});
const database = openDatabase({ url });
const relay = createRelay({
  database,
  subscriptions: [{ name: 'memory', transport: sink.transport, routes: [{ topics: '**', to: 'sink' }] }],
});
await relay.start();
await sink.reached(messages);
await relay.stop();
await database.close();
process.send?.(samples);
