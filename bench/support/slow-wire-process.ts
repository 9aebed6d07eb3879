/**
 * The slow wire itself: passes on what comes from either side half a round trip later, in the order in which it came. What is sent while
 * other bytes are on their way travels beside them, as on a real network: it is the time that is long, not the wire that is narrow.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { createAlarm } from './alarm.ts';
import { monotonicMs } from './clock.ts';
import type { SlowWireTask } from './slow-wire.ts';

/** What reading, waking and writing take by themselves on a machine that is not busy, for each direction. */
const OWN_MS = 0.35;
/** Bytes of one direction that may be on their way, or wait for a reader, before the sender is held up. */
const MOST_BYTES = 16 * 1_048_576;

interface Parcel {
  readonly dueMs: number;
  readonly deliver: () => void;
}

process.once('disconnect', () => process.exit(1));
const [{ port, rttMs }] = (await once(process, 'message')) as [SlowWireTask];
const delayMs = Math.max(0, rttMs / 2 - OWN_MS);
/** Of all connections. All take as long, so who left first arrives first. */
const onTheirWay: Parcel[] = [];
let first = 0;
const alarm = await createAlarm(deliverDue);

const server = createServer({ noDelay: true }, (near) => {
  const far = connect({ port, host: '127.0.0.1', noDelay: true });
  carry(near, far);
  carry(far, near);
});
server.listen(0, '127.0.0.1', () => {
  process.send?.((server.address() as { port: number }).port);
});

function carry(from: Socket, to: Socket): void {
  let bytes = 0;
  from.on('data', (chunk) => {
    bytes += chunk.length;
    if (bytes + to.writableLength > MOST_BYTES) from.pause();
    send(() => {
      bytes -= chunk.length;
      to.write(chunk, () => from.resume());
    });
  });
  from.on('end', () => send(() => to.end()));
  from.on('close', () => send(() => to.destroySoon()));
  // Who breaks off is closed too, and the other side with it.
  from.on('error', () => {});
}

function send(deliver: () => void): void {
  const isFirst = first === onTheirWay.length;
  const dueMs = monotonicMs() + delayMs;
  onTheirWay.push({ dueMs, deliver });
  if (isFirst) alarm.set(dueMs);
}

function deliverDue(): void {
  const nowMs = monotonicMs();
  for (let next = onTheirWay[first]; next !== undefined && next.dueMs <= nowMs; next = onTheirWay[first]) {
    first += 1;
    next.deliver();
  }
  const next = onTheirWay[first];
  if (first > 1_000 || next === undefined) {
    onTheirWay.splice(0, first);
    first = 0;
  }
  if (next !== undefined) alarm.set(next.dueMs);
}
