/**
 * The time axis of a run. To scale, a wait of days leaves nothing to see of calls that took milliseconds; so the axis can also be
 * drawn with long stretches shortened, each part as wide as the logarithm of its time. Pure.
 */

export type ScaleKind = 'even' | 'true';

export interface TimeScale {
  readonly kind: ScaleKind;
  /** Place of a time on the axis, from 0 to 1. */
  at(time: number): number;
  /** Marks on the axis: their place, and milliseconds since the start. */
  readonly marks: readonly { readonly place: number; readonly ms: number }[];
}

/** From this ratio between the whole and the middle call on, little is to be seen to scale. */
const TOO_WIDE = 300;

/** Which of the two shows more. `spans`: how long calls took. */
export function betterScale(total: number, spans: readonly number[]): ScaleKind {
  const sorted = spans.filter((span) => span > 0).toSorted((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  return middle !== undefined && total / middle > TOO_WIDE ? 'even' : 'true';
}

/** `moments`: all beginnings and ends that are drawn. */
export function timeScale(kind: ScaleKind, moments: readonly number[]): TimeScale {
  const times = [...new Set(moments)].toSorted((a, b) => a - b);
  const start = times[0] ?? 0;
  const end = Math.max(times.at(-1) ?? start, start + 1);
  if (kind === 'true' || times.length < 3) {
    const at = (time: number): number => clamp((time - start) / (end - start));
    return { kind: 'true', at, marks: evenMarks(end - start).map((ms) => ({ place: at(start + ms), ms })) };
  }
  const places: number[] = [0];
  for (let index = 1; index < times.length; index += 1) {
    const gap = (times[index] ?? 0) - (times[index - 1] ?? 0);
    places.push((places[index - 1] ?? 0) + Math.log2(2 + gap));
  }
  const whole = places.at(-1) ?? 1;
  const at = (time: number): number => {
    const next = times.findIndex((each) => each >= time);
    if (next === 0 || time <= start) return 0;
    if (next < 0) return 1;
    const [t0, t1] = [times[next - 1] ?? start, times[next] ?? end];
    const [p0, p1] = [places[next - 1] ?? 0, places[next] ?? whole];
    return clamp((p0 + ((p1 - p0) * (time - t0)) / (t1 - t0)) / whole);
  };
  return { kind: 'even', at, marks: sparse(times.map((time) => ({ place: at(time), ms: time - start }))) };
}

const STEPS_MS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000,
].concat([600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 43_200_000, 86_400_000, 172_800_000, 604_800_000]);

/** Round times, at most six. */
function evenMarks(total: number): readonly number[] {
  const step = STEPS_MS.find((each) => total / each <= 6) ?? Math.ceil(total / 6 / 86_400_000) * 86_400_000;
  return Array.from({ length: Math.floor(total / step) + 1 }, (_, index) => index * step);
}

const LEAST_APART = 0.14;

function sparse<T extends { readonly place: number }>(marks: readonly T[]): readonly T[] {
  const kept: T[] = [];
  for (const mark of marks) {
    const before = kept.at(-1);
    if (before === undefined || mark.place - before.place >= LEAST_APART) kept.push(mark);
  }
  return kept;
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}
