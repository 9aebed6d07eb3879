/**
 * Outboxes that send payloads in clear, for those that are given one beside a codec. Of an outbox that somebody has wrapped it is not known.
 */
import { badOption } from '../runtime/options.ts';

const clear = new WeakSet();

export function noteClear(outbox: object): void {
  clear.add(outbox);
}

/**
 * Who has a codec sends nothing in clear by an outbox that was made without one.
 *
 * @throws HoldfastError HF_CONFIG
 */
export function assertEncrypts(outbox: object | undefined, codec: object | undefined, where: string): void {
  if (outbox === undefined || codec === undefined || !clear.has(outbox)) return;
  throw badOption(
    where,
    'has a codec, and an outbox without one, so what is sent by it would be readable',
    'Give the same codec to createOutbox, or leave the option out.',
  );
}
