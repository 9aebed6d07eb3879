/**
 * For processes that tests kill: takes one message of an ordered destination, reports it to its parent, and never comes to a verdict.
 */
import type { Transport } from '../../src/transport/port.ts';

export async function takeOneAndHang(transport: Transport, destination: string): Promise<void> {
  const receiver = transport.receiver(
    destination,
    ({ redeliveries }) => {
      process.send!({ redeliveries });
      return new Promise(() => {});
    },
    { concurrency: 1, ordered: true },
  );
  await receiver.start();
}
