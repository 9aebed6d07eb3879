/**
 * Sends a batch: to all its endpoints side by side, within the time that one publish may take. What there is no time for is left for the
 * next one; an endpoint that fails, asks for time or is slow delays its own messages alone.
 */
import { HoldfastError } from '../../errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Semaphore } from '../../runtime/semaphore.ts';
import type { OutboundMessage, PublishOutcome } from '../port.ts';
import { chainsOf, type PlacedWebhook, postponed, refusedForGood, resting, TAKEN, unsent } from './batch-plan.ts';
import type { ResolvedEndpoint } from './endpoint.ts';
import type { EndpointBook, FoundEndpoint } from './endpoint-book.ts';
import { holdUps } from './endpoint-health.ts';
import type { EndpointStates } from './endpoint-states.ts';
import type { WebhookClient } from './exchange.ts';
import { type EndingAnswers, judgeReply } from './judge.ts';
import { bodyOf, type WebhookBody, webhookRequest } from './webhook-request.ts';

/** What the publishers of one transport share. */
export interface SendingContext {
  readonly book: EndpointBook;
  readonly states: EndpointStates;
  readonly client: WebhookClient;
  /** Requests at once, to all endpoints. */
  readonly slots: Semaphore;
  readonly clock: Clock;
  readonly form: WebhookBody;
  readonly ending: EndingAnswers;
  readonly publishWithinMs: number;
  readonly maxMessageBytes: number;
  readonly endpointOf: (message: OutboundMessage) => string | null;
  readonly onGone: (name: string) => void;
}

/** One call of publish. */
interface Call {
  readonly startedAtMs: number;
  readonly outcomes: PublishOutcome[];
  readonly signal: AbortSignal;
}

/** When an endpoint could not be looked up, in milliseconds. */
const LOOK_AGAIN_MS = 5_000;
/** Whoever was last sent something longer ago is held up by nobody, in milliseconds. */
const RECENT_MS = 600_000;

export class BatchSender {
  readonly #context: SendingContext;
  /** The two endpoints that were last sent something, and when: whether one of them is alone here. */
  #recent: readonly { readonly name: string; readonly atMs: number }[] = [];

  constructor(context: SendingContext) {
    this.#context = context;
  }

  /** Rejects with the signal's reason when it aborts. */
  async send(batch: readonly OutboundMessage[], signal: AbortSignal): Promise<readonly PublishOutcome[]> {
    const call: Call = {
      startedAtMs: this.#context.clock.monotonic(),
      outcomes: new Array<PublishOutcome>(batch.length).fill(TAKEN),
      signal,
    };
    const groups = new Map<string, PlacedWebhook[]>();
    for (const [index, message] of batch.entries()) {
      const name = this.#context.endpointOf(message);
      if (name === null) continue;
      const group = groups.get(name);
      if (group === undefined) groups.set(name, [{ message, index }]);
      else group.push({ message, index });
    }
    const busy = await Promise.all(
      [...groups].map(async ([name, parcels]) => [name, await this.#sendGroup(name, parcels, call)] as const),
    );
    for (const [name, heldMs] of holdUps(new Map(busy)))
      if (!this.#isAlone(name)) this.#context.states.heldUp(name, heldMs);
    return call.outcomes;
  }

  /** Resolves with how long its requests took, in milliseconds. */
  async #sendGroup(name: string, parcels: readonly PlacedWebhook[], call: Call): Promise<number> {
    const found = await this.#context.book.find(name);
    call.signal.throwIfAborted();
    if (found.kind !== 'endpoint') {
      const outcome = withoutEndpoint(found);
      for (const { index } of parcels) call.outcomes[index] = outcome;
      return 0;
    }
    this.#note(name);
    const chains = chainsOf(parcels);
    const { states } = this.#context;
    let next = 0;
    let busyMs = 0;
    const lane = async (most: number): Promise<void> => {
      let laneMs = 0;
      for (let sent = 0; sent < most && next < chains.length; sent += 1) {
        next += 1;
        laneMs += await this.#sendChain(found.endpoint, chains[next - 1] ?? [], call);
      }
      busyMs = Math.max(busyMs, laneMs);
    };
    // One finds out whether it is back before the others go.
    if (states.isOnTrial(name)) await lane(1);
    const trialMs = busyMs;
    busyMs = 0;
    await Promise.all(
      Array.from({ length: Math.min(found.endpoint.concurrency, chains.length) }, () => lane(Infinity)),
    );
    return trialMs + busyMs;
  }

  /** Resolves with how long its requests took, in milliseconds. */
  async #sendChain(endpoint: ResolvedEndpoint, chain: readonly PlacedWebhook[], call: Call): Promise<number> {
    let tookMs = 0;
    let waits = false;
    for (const { message, index } of chain) {
      if (waits) {
        call.outcomes[index] = unsent(
          endpoint.name,
          'was not sent it, for an earlier message of its key was not taken',
        );
        continue;
      }
      const sent = await this.#sendOne(endpoint, message, call);
      call.outcomes[index] = sent.outcome;
      tookMs += sent.tookMs;
      waits = sent.outcome.kind !== 'published';
    }
    return tookMs;
  }

  async #sendOne(
    endpoint: ResolvedEndpoint,
    message: OutboundMessage,
    call: Call,
  ): Promise<{ readonly outcome: PublishOutcome; readonly tookMs: number }> {
    const { client, slots, clock, form } = this.#context;
    const body = this.#bodyOf(message);
    if (body instanceof Error) return { outcome: refusedForGood(body), tookMs: 0 };
    const free = slots.take() ?? (await slots.acquire(call.signal));
    try {
      // Also of one that was given a slot and told to stop at the same moment: the slot goes back.
      call.signal.throwIfAborted();
      const waits = this.#mustWait(endpoint, call);
      if (waits !== null) return { outcome: waits, tookMs: 0 };
      const beganAtMs = clock.monotonic();
      const timestamp = Math.floor(clock.now() / 1_000);
      const reply = await client.post(
        endpoint,
        webhookRequest(message, body, { endpoint, form, timestamp }),
        call.signal,
      );
      return { outcome: this.#judge(endpoint.name, reply), tookMs: clock.monotonic() - beganAtMs };
    } finally {
      free?.();
    }
  }

  #judge(name: string, reply: Parameters<typeof judgeReply>[0]): PublishOutcome {
    const { states, clock, ending, onGone } = this.#context;
    const judgement = judgeReply(reply, name, ending, clock.now());
    if (judgement.kind === 'taken') {
      states.succeeded(name);
      return TAKEN;
    }
    if (judgement.kind === 'refused') {
      // It answers, so it is well.
      states.succeeded(name);
      if (judgement.gone) onGone(name);
      return refusedForGood(judgement.error);
    }
    const { asksMs, error } = judgement;
    if (asksMs === null) states.failed(name, error);
    else states.asked(name, asksMs);
    return postponed(error, { delayMs: states.restLeft(name), attempted: true });
  }

  #mustWait({ name, timeoutMs }: ResolvedEndpoint, { startedAtMs }: Call): PublishOutcome | null {
    const { states, clock, publishWithinMs } = this.#context;
    const restMs = states.restLeft(name);
    if (restMs > 0) return resting(name, restMs);
    // What is begun must end within the call.
    const isLate = clock.monotonic() - startedAtMs > publishWithinMs - timeoutMs;
    return isLate ? unsent(name, 'has taken as many as there was time for') : null;
  }

  #bodyOf(message: OutboundMessage): string | Error {
    const { form, maxMessageBytes } = this.#context;
    const bytes = Buffer.byteLength(message.wire);
    if (bytes > maxMessageBytes)
      return new HoldfastError('HF_MESSAGE_REFUSED', `The envelope has ${bytes} bytes, more than ${maxMessageBytes}.`, {
        advice: 'Send a reference to the data instead, or raise maxMessageBytes if its receivers take more.',
        details: { bytes, limit: maxMessageBytes },
      });
    try {
      return bodyOf(message, form);
    } catch (error) {
      return error as Error;
    }
  }

  #note(name: string): void {
    const others = this.#recent.filter((each) => each.name !== name);
    this.#recent = [{ name, atMs: this.#context.clock.monotonic() }, ...others].slice(0, 2);
  }

  #isAlone(name: string): boolean {
    const nowMs = this.#context.clock.monotonic();
    return this.#recent.every((each) => each.name === name || nowMs - each.atMs > RECENT_MS);
  }
}

function withoutEndpoint(found: Exclude<FoundEndpoint, { kind: 'endpoint' }>): PublishOutcome {
  if (found.kind === 'nobody') return TAKEN;
  if (found.kind === 'unusable') return refusedForGood(found.error);
  return postponed(found.error, { delayMs: LOOK_AGAIN_MS, attempted: false });
}
