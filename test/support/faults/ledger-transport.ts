/**
 * A transport that writes every message into the ledger before it acknowledges it; on its own it is a broker that only remembers,
 * around another one it notes what that one took. It can be told to misbehave.
 */
import type { OutboundMessage, PublishOutcome, Publisher, Transport } from '../../../src/transport/port.ts';
import { entryOf, type Ledger } from './ledger.ts';

export interface Misbehaviour {
  /** Refuse the message `key``n` for now, this many times. */
  readonly refuseForNow?: { readonly key: string; readonly n: number; readonly times: number };
  /** Refuse it for good. */
  readonly refuseForGood?: { readonly key: string; readonly n: number };
  /** The process dies of it. */
  readonly dieOf?: { readonly key: string; readonly n: number };
}

export interface LedgerTransportOptions {
  readonly ledger: Ledger;
  /** The name of this process in the ledger. */
  readonly by: string;
  readonly inner?: Transport;
  readonly misbehaviour?: Misbehaviour;
  /** Awaited before anything is taken; rejects to be away. */
  readonly gate?: (batch: readonly OutboundMessage[]) => Promise<void>;
}

const PUBLISHED: PublishOutcome = { kind: 'published' };

export function ledgerTransport(options: LedgerTransportOptions): Transport {
  const { ledger, by, inner, misbehaviour = {}, gate } = options;
  const { refuseForNow, refuseForGood, dieOf } = misbehaviour;
  let refusals = 0;

  function outcomeOf(message: OutboundMessage): PublishOutcome {
    const { key, n } = entryOf(by, message);
    const is = (wanted: { readonly key: string; readonly n: number } | undefined) =>
      wanted?.key === key && wanted?.n === n;
    if (is(dieOf)) process.kill(process.pid, 'SIGKILL');
    if (is(refuseForGood)) return { kind: 'refused', permanent: true, error: new Error('never') };
    if (refuseForNow !== undefined && is(refuseForNow) && message.replayId === null && refusals < refuseForNow.times) {
      refusals += 1;
      return { kind: 'refused', permanent: false, error: new Error('not now') };
    }
    return PUBLISHED;
  }

  return {
    kind: 'ledger',
    publisher(): Publisher {
      const publisher = inner?.publisher();
      return {
        async publish(batch, { signal }) {
          await gate?.(batch);
          const outcomes = batch.map(outcomeOf);
          if (publisher !== undefined) {
            const wanted = batch.filter((_, index) => outcomes[index]?.kind === 'published');
            const answers = await publisher.publish(wanted, { signal });
            for (const [at, message] of wanted.entries())
              outcomes[batch.indexOf(message)] = answers[at] as PublishOutcome;
          }
          ledger.append(
            batch.filter((_, index) => outcomes[index]?.kind === 'published').map((message) => entryOf(by, message)),
          );
          return outcomes;
        },
        async check({ signal }) {
          await gate?.([]);
          await publisher?.check({ signal });
        },
        close: async () => publisher?.close(),
      };
    },
    receiver(destination, handle, receive) {
      if (inner === undefined) throw new TypeError('the ledger has no receivers');
      return inner.receiver(destination, handle, receive);
    },
    close: async () => inner?.close(),
  };
}
