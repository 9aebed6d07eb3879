/**
 * The I/O points that the worker of a test passes, and at which of them it dies.
 */

/** An I/O point that a worker has passed. */
export interface PassedPoint {
  /** As in SAGA_CRASH_POINTS, with `:before` or `:after`. */
  readonly point: string;
  /** From 1 on, counted for each point over the whole test. */
  readonly occurrence: number;
}

export class CrashPlan {
  readonly points: PassedPoint[] = [];
  readonly #counts = new Map<string, number>();
  readonly #plans = new Set<(passed: PassedPoint) => boolean>();
  #now = false;
  #crashes = 0;

  /** How often a worker died. */
  get crashes(): number {
    return this.#crashes;
  }

  /** The worker dies when `when` says so of a point that it passes; once. */
  add(when: (passed: PassedPoint) => boolean): void {
    this.#plans.add(when);
  }

  /** It dies at the next point, whatever that is. */
  setNow(): void {
    this.#now = true;
  }

  /** Looks at the store that find nothing are many, and nobody could tell a crash there from one before. */
  passesOver(point: string, found: number): boolean {
    const isLook = point.startsWith('saga.collect') || point.startsWith('saga.claim');
    return isLook && !this.#now && (point.endsWith(':before') || found === 0);
  }

  /** Whether it dies here. `note`: told of a point that counts. */
  pass(point: string, note: () => void): boolean {
    const dies = this.#now || this.#isPlanned(point, note);
    this.#now = false;
    if (dies) this.#crashes += 1;
    return dies;
  }

  #isPlanned(point: string, note: () => void): boolean {
    const occurrence = (this.#counts.get(point) ?? 0) + 1;
    const passed = { point, occurrence };
    this.#counts.set(point, occurrence);
    this.points.push(passed);
    note();
    let planned = false;
    for (const plan of this.#plans) {
      if (!plan(passed)) continue;
      this.#plans.delete(plan);
      planned = true;
    }
    return planned;
  }
}
