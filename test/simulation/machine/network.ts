/**
 * What lies between a process and whatever it asks: each request and each answer takes its time, and can be lost; and with each the
 * process itself may come to grief.
 */
import { Aims } from './aims.ts';
import type { Choices, Odds } from './choices.ts';
import type { Life, Port } from './process.ts';

/** Nobody answered: it may have happened or not. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered';
  readonly port: Port;
  constructor(port: Port) {
    super(`no answer from ${port}`);
    this.port = port;
  }
}

const FAULTS = [
  'nothing',
  'is killed before it is sent',
  'is killed after it is sent',
  'the request is lost',
  'the answer is lost',
  'stands still for 1 s',
  'stands still for 8 s',
  'is cut off for 2 s',
  'is cut off for 12 s',
  'its clock jumps ahead by an hour',
  'its clock jumps back by an hour',
  // From here on only where a seed aims them.
  'the request is on its way for 7 s, and it stands still for 8 s',
  'is killed, and the request is on its way for 7 s',
  'answers take 4 s, for 10 s',
  'requests take 4 s, for 10 s',
] as const;
const SHARES: Odds = [0.14, 0.16, 0.14, 0.16, 0.08, 0.08, 0.08, 0.06, 0.05, 0.05];

/** Of one that is aimed: mostly what hits at rare moments only. */
const AIMED: Odds = [0.05, 0.05, 0.06, 0.1, 0.02, 0.2, 0.02, 0.06, 0.005, 0.005, 0.12, 0.1, 0.16, 0.05];

const TRAVEL_MS = [6, 1, 30, 250, 2_500];
const TRAVEL: Odds = [0.25, 0.06, 0.02, 0.004];
/** How long an answer is waited for. */
const PATIENCE_MS = 1_000;
/** Longer than a lease. */
const LATE_MS = 7_000;
const SLOW_MS = 4_000;

/** How often something goes wrong, of so many requests. */
const RATES = [0.004, 0, 0.001, 0.015, 0.04];

export class Network {
  readonly #faults: Odds;
  readonly #aims: Aims;

  constructor(choices: Choices) {
    const rate = RATES[choices.choose('how much goes wrong', [0.1, 0.3, 0.3, 0.15])] ?? 0;
    this.#faults = SHARES.map((share) => share * rate);
    this.#aims = new Aims(choices, AIMED);
  }

  /**
   * One request, and its answer. Rejects with what `act` rejects with, or with Unanswered.
   *
   * @param act what happens at the other side, when the request arrives
   * @param found by what name the answer is known, where that says whether a fault is worth it
   */
  call<T>(
    life: Life,
    port: Port,
    what: string,
    act: () => T | Promise<T>,
    found: (answer: T) => string | null = () => null,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const lost = this.#send(life, port, what, async () => {
        const answer = await settled(act);
        const name = answer.ok ? found(answer.value) : null;
        const isLost = name !== null && this.#strikeAnswer(life, port, name);
        if (isLost || lost.answer || life.isCut(port))
          return life.machine.scheduler.after(PATIENCE_MS, life, unanswered);
        const { trace } = life.machine;
        if (answer.ok) trace.note(what);
        else trace.say(`${life.name} ${what}: refused (${describe(answer.error)})`);
        life.machine.scheduler.after(this.travel(life, what) + life.slowness(port, 'answers'), life, () => {
          if (answer.ok) resolve(answer.value);
          else reject(answer.error);
        });
      });
      const unanswered = (): void => reject(new Unanswered(port));
      if (lost.request) life.machine.scheduler.after(PATIENCE_MS, life, unanswered);
    });
  }

  /** Resolves when a request arrives, even if who sent it is dead by then. Never, if it does not; `onLost` is called instead. */
  arrival(life: Life, port: Port, what: string, onLost: () => void): Promise<void> {
    return new Promise((resolve) => {
      const lost = this.#send(life, port, what, () => resolve());
      if (lost.request) life.machine.scheduler.after(PATIENCE_MS, life, onLost);
    });
  }

  /** What is aimed at an answer. Returns whether it gets lost. */
  #strikeAnswer(life: Life, port: Port, name: string): boolean {
    const fault = life.machine.choices.calm ? 0 : this.#aims.at(name);
    if (fault === 0) return false;
    life.machine.trace.say(`${life.name} ${name}: ${FAULTS[fault] ?? ''}`);
    strike(life, port, fault);
    return fault === 3 || fault === 4;
  }

  /** How long something is on its way, in milliseconds. */
  travel(life: Life, what: string): number {
    return TRAVEL_MS[life.machine.choices.choose(`way ${life.name} ${what}`, TRAVEL)] ?? 1;
  }

  #send(
    life: Life,
    port: Port,
    what: string,
    arrive: () => unknown,
  ): { readonly request: boolean; readonly answer: boolean } {
    const { scheduler, trace } = life.machine;
    if (!life.alive) return { request: false, answer: true };
    const { choices } = life.machine;
    const fault = choices.choose(`${life.name} ${what}`, this.#faults) || (choices.calm ? 0 : this.#aims.at(what));
    if (fault !== 0) trace.say(`${life.name} ${what}: ${FAULTS[fault] ?? ''}`);
    if (fault === 1) life.end();
    if (fault === 3 || life.isCut(port)) return { request: true, answer: true };
    const lateMs = (fault === 11 || fault === 12 ? LATE_MS : 0) + life.slowness(port, 'requests');
    if (life.alive) scheduler.after(this.travel(life, what) + lateMs, null, arrive);
    strike(life, port, fault);
    return { request: false, answer: fault === 4 };
  }
}

/** What happens to the process itself while its request is on its way. */
function strike(life: Life, port: Port, fault: number): void {
  switch (fault) {
    case 2:
    case 12:
      return life.end();
    case 5:
      return life.pause(1_000);
    case 6:
    case 11:
      return life.pause(8_000);
    case 7:
      return life.cut(port, 2_000);
    case 8:
      return life.cut(port, 12_000);
    case 9:
      life.skewMs += 3_600_000;
      return;
    case 10:
      life.skewMs -= 3_600_000;
      return;
    case 13:
      return life.slow(port, 'answers', SLOW_MS, 10_000);
    case 14:
      return life.slow(port, 'requests', SLOW_MS, 10_000);
    default:
  }
}

type Settled<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

async function settled<T>(act: () => T | Promise<T>): Promise<Settled<T>> {
  try {
    return { ok: true, value: await act() };
  } catch (error) {
    return { ok: false, error };
  }
}

function describe(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error) return String(error.code);
  return error instanceof Error ? error.name : String(error);
}
