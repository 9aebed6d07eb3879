/**
 * Reads one partition for a receiver. There is one exchange with Redis at a time, and each tells all verdicts that have come meanwhile and
 * asks for as many messages as there are free places: under load many messages share a round trip, and one alone waits for nobody.
 *
 * Unordered, all receivers read beside each other. Ordered, the one that owns the partition reads alone, and hands out one message of each
 * key at a time (lanes.ts); every exchange renews its ownership, and is refused once that is lost.
 */
import { systemClock } from '../../runtime/clock.ts';
import { brokerFailure, isGroupMissing } from './answers.ts';
import type { Bell } from './connection.ts';
import type { StreamEntry } from './entry.ts';
import { Flights } from './flights.ts';
import { type LaneEntry, Lanes } from './lanes.ts';
import { UnsentVerdicts, type Parcel } from './unsent-verdicts.ts';
import type { Exchanged, PartitionStore } from './partition-store.ts';
import type { Delivery, Verdict } from '../port.ts';
import type { Slots } from './slots.ts';
import { ReaderAlarm } from './reader-alarm.ts';

/** Between two looks while another receiver owns the partition, and after a wait for messages that failed. */
const LOOK_MS = 300;
/** Between two tries after a failure: this, and then twice as long each time. */
const FIRST_REST_MS = 20;
const LONGEST_REST_MS = 1000;
/** A wait for messages is this long at most. */
const BELL_MS = 5000;
/** Messages that an owner takes over in one look. */
const TAKE_OVER = 4096;
/** What waits behind others of its key in memory: an owner reads no more before some of it is through. */
const MOST_WAITING = 256;
const MOST_WAITING_CHARACTERS = 16 * 1024 * 1024;

export interface PartitionReaderOptions {
  readonly store: PartitionStore;
  readonly bell: Bell;
  readonly ordered: boolean;
  readonly lockDurationMs: number;
  readonly slots: Slots;
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  /** Whether this receiver may own one more ordered partition. */
  readonly mayOwn: () => boolean;
  /** Aborts when nothing new is to be handed out. */
  readonly stopping: AbortSignal;
  /** Aborts when Redis is not waited for any more. */
  readonly givingUp: AbortSignal;
  readonly onError: (error: Error) => void;
  /** Something that was in flight is not any more. */
  readonly onEnd: () => void;
}

export class PartitionReader {
  readonly #options: PartitionReaderOptions;
  readonly #flights: Flights;
  readonly #unsent = new UnsentVerdicts();
  readonly #lanes = new Lanes();
  readonly #alarm = new ReaderAlarm(() => void (this.#hungry = true));
  /** Of an ordered partition. */
  #owns = false;
  #ownedUntilMs = 0;
  #yielding = false;
  /** What may be in Redis that the lanes do not have: all of the owner before, or what came with an answer that was lost. */
  #missing: 'inherited' | 'unheard' | null = null;
  /** Of an unordered one: the same, of ourselves; and it is time to look for what dead consumers had. */
  #missesOwn = false;
  #looksForDead = true;
  /** The partition may hold something that nobody has. */
  #hungry = true;
  #ringing = false;
  #renewing = false;
  /** In a row. */
  #failures = 0;

  constructor(options: PartitionReaderOptions) {
    this.#options = options;
    const { handle, onError, onEnd, slots, stopping, givingUp } = options;
    const { rouse } = this.#alarm;
    this.#flights = new Flights({
      handle,
      onError,
      onVerdict: (entry, verdict) => this.#settle(entry, verdict),
      onEnd: (wasLost) => {
        // Nobody else may have taken it meanwhile.
        if (wasLost) this.#missesOwn = true;
        slots.giveBack(1);
        rouse();
        onEnd();
      },
    });
    for (const signal of [stopping, givingUp]) signal.addEventListener('abort', rouse, { once: true });
  }

  get owns(): boolean {
    return this.#owns;
  }

  get inFlight(): number {
    return this.#flights.size;
  }

  abortAll(why: string): void {
    this.#flights.abortAll(why);
  }

  abandonAll(): void {
    this.#flights.abandonAll();
  }

  /** Gives the partition to another receiver, when what is in flight has come to its end. */
  yieldOwnership(): void {
    this.#yielding = this.#owns;
    this.#alarm.rouse();
  }

  /** To be called several times within the length of a claim: some end, and some are to be renewed. */
  lookAfter(nowMs: number): void {
    const { ordered, lockDurationMs } = this.#options;
    if (ordered && this.#owns && nowMs > this.#ownedUntilMs) this.#loseOwnership('the claim on the partition ran out');
    if (!ordered) this.#flights.lose(this.#flights.endingBefore(nowMs), 'the claim on the message ran out');
    const soonMs = nowMs + (lockDurationMs * 2) / 3;
    const isDue = ordered ? this.#owns && this.#ownedUntilMs < soonMs : this.#flights.endingBefore(soonMs).length > 0;
    if (!isDue) return;
    this.#renewing = true;
    this.#alarm.rouse();
  }

  /**
   * To be called every `stalledInterval`. Not only others may have died with messages: the client for a cluster sends again by itself what was
   * under way to a node, and says nothing of the first answer, which is lost with what it brought.
   */
  lookForDead(): void {
    this.#looksForDead = true;
    this.#missesOwn = true;
    if (this.#owns) this.#missing ??= 'unheard';
    this.#hungry = true;
    this.#alarm.rouse();
  }

  /** Resolves when it has stopped and given back what it had. Never rejects. */
  async run(): Promise<void> {
    while (!this.#isOver()) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- one exchange at a time
        if (!(await this.#step())) await this.#alarm.untilRoused();
      } catch (error) {
        // oxlint-disable-next-line no-await-in-loop
        await this.#recover(error);
      }
    }
    this.#options.bell.end();
    this.#alarm.end();
    if (!this.#options.givingUp.aborted) await this.#leave().catch(() => {});
  }

  #isOver(): boolean {
    const { stopping, givingUp } = this.#options;
    if (!stopping.aborted || this.#flights.size > 0) return false;
    return givingUp.aborted || (this.#unsent.isEmpty && !this.#owns);
  }

  async #recover(error: unknown): Promise<void> {
    const { store, stopping, givingUp } = this.#options;
    this.#missesOwn = true;
    if (this.#owns) this.#missing ??= 'unheard';
    this.#hungry = true;
    let failure = error;
    if (isGroupMissing(error)) {
      try {
        return await store.createGroup();
      } catch (cause) {
        failure = cause;
      }
    }
    if (!stopping.aborted) this.#fail(failure);
    await systemClock.sleep(Math.min(LONGEST_REST_MS, FIRST_REST_MS * 2 ** this.#failures), givingUp);
    this.#failures += 1;
  }

  #fail(error: unknown): void {
    this.#options.onError(brokerFailure(error, 'does not hand out', 'Check that it runs, and its address.'));
  }

  /** One exchange, if there is a reason for one. */
  async #step(): Promise<boolean> {
    const { ordered, stopping } = this.#options;
    if (ordered && !this.#owns) return stopping.aborted ? false : this.#acquire();
    if (this.#renewing && !ordered) return this.#renew();
    if (stopping.aborted || this.#yielding) return this.#wind();
    const reserved = this.#reserve();
    if (reserved > 0 && ordered && this.#mayTakeOver()) return this.#takeOver(reserved);
    if (reserved > 0 && !ordered && this.#missesOwn) return this.#adopt(reserved, 'me');
    if (reserved > 0 && !ordered && this.#looksForDead) return this.#adopt(reserved, 'others');
    if (reserved === 0 && this.#unsent.isEmpty && !this.#renewing) return false;
    return this.#exchange(reserved);
  }

  /** Takes all free places if there may be messages for them. */
  #reserve(): number {
    const { slots, ordered } = this.#options;
    const wants = ordered
      ? this.#mayTakeOver() || this.#mayRead() || this.#lanes.hasOpen(performance.now())
      : this.#missesOwn || this.#looksForDead || this.#hungry;
    if (!wants) return 0;
    const { free } = slots;
    if (free === 0) slots.whenFree(this.#alarm.rouse);
    slots.take(free);
    return free;
  }

  #mayTakeOver(): boolean {
    return this.#missing !== null && this.#lanes.size < MOST_WAITING;
  }

  #mayRead(): boolean {
    if (!this.#hungry || this.#missing !== null) return false;
    const waiting = this.#lanes.size - this.#flights.size;
    return waiting < MOST_WAITING && this.#lanes.characters < MOST_WAITING_CHARACTERS;
  }

  /** Before a stop or another owner: nothing new, and what was read and not begun goes back. */
  async #wind(): Promise<boolean> {
    if (this.#flights.size === 0) {
      for (const entry of this.#lanes.unbegun()) this.#unsent.later(entry, 0);
      this.#lanes.clear();
    }
    if (!this.#unsent.isEmpty || this.#renewing) return this.#exchange(0);
    if (this.#flights.size > 0) return false;
    if (this.#owns) await this.#leave();
    return !this.#options.stopping.aborted;
  }

  async #exchange(reserved: number): Promise<boolean> {
    const { store, slots, ordered, lockDurationMs } = this.#options;
    const sentMs = performance.now();
    const parcel = this.#unsent.take();
    const next = ordered ? this.#lanes.next(reserved, sentMs) : [];
    const take = this.#mayRead() ? reserved - next.length : 0;
    let answer: Exchanged | null;
    try {
      const begin = next.filter(({ beginning }) => beginning !== null);
      answer = await store.exchange(parcel, begin, take);
    } catch (error) {
      slots.giveBack(reserved);
      this.#unsent.putBack(parcel);
      for (const { entry } of next) this.#lanes.putBack(entry.id);
      throw error;
    }
    if (answer === null) {
      slots.giveBack(reserved);
      this.#loseOwnership('another receiver has the partition');
      return true;
    }
    this.#renewing = false;
    this.#failures = 0;
    this.#ownedUntilMs = sentMs + lockDurationMs;
    const { due, fresh, dueInMs, last } = answer;
    const starting = ordered ? this.#startInOrder(parcel, next, answer, reserved) : [...due, ...fresh];
    this.#begin(starting, reserved, sentMs + lockDurationMs);
    if (last !== null) this.#waitFor(last);
    if (dueInMs !== null) this.#alarm.rouseAt(performance.now() + dueInMs);
    if (ordered) this.#alarm.rouseAt(this.#lanes.nextDueMs());
    return true;
  }

  /** What an exchange has set free or brought, at most so many. */
  #startInOrder(parcel: Parcel, next: readonly LaneEntry[], { fresh, gone }: Exchanged, most: number): StreamEntry[] {
    for (const id of parcel.done) this.#lanes.done(id);
    for (const { entry, dueMs } of parcel.later) this.#lanes.later(entry.id, dueMs);
    for (const id of gone) this.#lanes.done(id);
    const starting = next.flatMap(({ entry }) => (gone.has(entry.id) ? [] : [entry]));
    for (const entry of fresh) if (this.#lanes.add(entry)) starting.push(entry);
    const freed = this.#lanes.next(most - starting.length, performance.now(), 'at once');
    return [...starting, ...freed.map(({ entry }) => entry)];
  }

  /** What came when it was too late goes back. */
  #begin(entries: readonly StreamEntry[], reserved: number, claimedUntilMs: number): void {
    const { slots, stopping } = this.#options;
    if (stopping.aborted) for (const entry of entries) this.#unsent.later(entry, 0);
    else for (const entry of entries) this.#flights.begin(entry, claimedUntilMs);
    slots.giveBack(stopping.aborted ? reserved : reserved - entries.length);
  }

  /** Of an unordered partition: what came with a lost answer, or what dead consumers had. */
  async #adopt(reserved: number, whose: 'me' | 'others'): Promise<boolean> {
    const { store, slots, lockDurationMs } = this.#options;
    const sentMs = performance.now();
    const known = [...this.#flights.heldIds(), ...this.#unsent.ids()];
    try {
      const adopted = await store.adopt(whose, reserved, lockDurationMs, known);
      if (adopted?.isAll !== false && whose === 'me') this.#missesOwn = false;
      if (adopted?.isAll !== false && whose === 'others') this.#looksForDead = false;
      this.#begin(adopted?.pending ?? [], reserved, sentMs + lockDurationMs);
    } catch (error) {
      slots.giveBack(reserved);
      throw error;
    }
    return true;
  }

  async #takeOver(reserved: number): Promise<boolean> {
    const { store, slots, lockDurationMs } = this.#options;
    slots.giveBack(reserved);
    const sentMs = performance.now();
    const adopted = await store.adopt('all', TAKE_OVER, 0, this.#lanes.ids());
    if (adopted === null) {
      this.#loseOwnership('another receiver has the partition');
      return true;
    }
    this.#ownedUntilMs = sentMs + lockDurationMs;
    this.#lanes.takeOver(adopted.pending, adopted.delayed, this.#missing === 'inherited');
    if (adopted.isAll) this.#missing = null;
    this.#alarm.rouseAt(this.#lanes.nextDueMs());
    return true;
  }

  async #renew(): Promise<boolean> {
    const sentMs = performance.now();
    const ids = this.#flights.ids();
    const lost = new Set(ids.length === 0 ? [] : await this.#options.store.renew(ids));
    this.#flights.lose([...lost], 'Redis gave the message to somebody else');
    const kept = ids.filter((id) => !lost.has(id));
    this.#flights.renew(kept, sentMs + this.#options.lockDurationMs);
    this.#renewing = false;
    return true;
  }

  /** Says whether there is more to do at once. */
  async #acquire(): Promise<boolean> {
    const { store, lockDurationMs, mayOwn, stopping } = this.#options;
    const sentMs = performance.now();
    // Handlers of an ownership that was lost may go on: nothing is begun beside them.
    if (this.#flights.size === 0 && mayOwn() && (await store.acquire())) {
      this.#owns = true;
      this.#ownedUntilMs = sentMs + lockDurationMs;
      this.#missing = 'inherited';
      this.#hungry = true;
      return true;
    }
    await systemClock.sleep(Math.min(lockDurationMs / 4, LOOK_MS), stopping);
    return true;
  }

  #loseOwnership(why: string): void {
    if (!this.#owns) return;
    this.#owns = false;
    this.#yielding = false;
    this.#renewing = false;
    this.#unsent.clear();
    this.#lanes.clear();
    this.#flights.lose(this.#flights.ids(), why);
    this.#alarm.rouse();
  }

  /** An ordered partition is for whoever wants it, unless messages were let go of whose handlers may go on: then its claim runs out. */
  async #leave(): Promise<void> {
    const givesUp = this.#owns && this.#flights.abandoned === 0;
    await this.#options.store.leave(givesUp);
    this.#owns = false;
    this.#yielding = false;
  }

  #settle(entry: StreamEntry, verdict: Verdict): void {
    if (verdict.kind === 'done') return this.#unsent.done(entry.id);
    const dueMs = performance.now() + Math.max(0, verdict.delayMs);
    this.#unsent.later(entry, dueMs);
    if (!this.#options.ordered) this.#alarm.rouseAt(dueMs);
  }

  /** Redis had no more: until something comes in behind `last`. */
  #waitFor(last: string): void {
    this.#hungry = false;
    if (this.#ringing) return;
    this.#ringing = true;
    const { bell, stopping } = this.#options;
    const hear = (): void => {
      this.#ringing = false;
      this.#hungry = true;
      this.#alarm.rouse();
    };
    bell.wait(last, BELL_MS, stopping).then(hear, async (error: unknown) => {
      if (stopping.aborted) return;
      this.#fail(error);
      await systemClock.sleep(LOOK_MS, stopping);
      hear();
    });
  }
}
