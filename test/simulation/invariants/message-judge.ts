/**
 * Holds messages against the promises: where they come from, in which order they have their effect, and what is known of them when they are
 * acknowledged.
 */
import { parseWire, type ParsedWire } from './parsed-wire.ts';

export interface MessageJudgeOptions {
  readonly say: (breach: string) => void;
  /** Whether a command of this run was called by it, as is recorded. */
  readonly wasCalled: (runId: string, call: string) => boolean;
  /** Whether the effect of a command has happened. */
  readonly hasHappened: (runId: string, call: string) => boolean;
  /** Whether a service has marked the message as handled, or parked it. */
  readonly isSettled: (destination: string, id: string) => Promise<boolean>;
  /** Whether what a reply says is recorded, or waits in the store. */
  readonly isRecorded: (reply: ParsedWire) => boolean;
}

export interface SeenMessage {
  readonly id: string;
  readonly topic: string;
  readonly destination: string;
  readonly wire: string;
}

export class MessageJudge {
  readonly #options: MessageJudgeOptions;
  /** Of each key of an ordered destination: what was committed and has had no effect yet, oldest first. */
  readonly #lines = new Map<string, string[]>();

  constructor(options: MessageJudgeOptions) {
    this.#options = options;
  }

  /** A message that goes to an ordered destination was committed. */
  committedInLine(key: string, id: string): void {
    this.#lines.set(key, [...(this.#lines.get(key) ?? []), id]);
  }

  /** The message had its effect. */
  happenedInLine(id: string): void {
    for (const [key, line] of this.#lines) {
      const place = line.indexOf(id);
      if (place > 0) this.#options.say(`I3: message ${place + 1} of ${key} had its effect before the one before it`);
      if (place >= 0) this.#lines.set(key, line.toSpliced(place, 1));
    }
  }

  /** The broker hands it to somebody. */
  delivered(message: SeenMessage): void {
    const { say, wasCalled, hasHappened } = this.#options;
    const { runId, call, to, role, outcome } = parseWire(message.wire);
    if (runId === null || call === null) return;
    if (role !== null && !wasCalled(runId, call))
      say(`I2: a ${role} for ${call} is delivered, which no run has recorded`);
    if (to === 'command' && outcome === 'done' && !hasHappened(runId, call))
      say(`I2: a reply says that ${call} is done, and its transaction was not committed`);
  }

  /** Whoever had it has said that it is done. */
  acknowledged(message: SeenMessage): void {
    const { say, isSettled, isRecorded } = this.#options;
    const { id, topic, destination, wire } = message;
    if (destination !== 'saga-replies') {
      void isSettled(destination, id).then((settled) => {
        if (!settled) say(`I21: ${topic} was acknowledged, and is neither marked nor parked`);
      });
      return;
    }
    const reply = parseWire(wire);
    if (!isRecorded(reply)) say(`I21: a reply to ${reply.call} was acknowledged, and is recorded nowhere`);
  }
}
