/**
 * The time, by the server's clock and once a second, for texts such as '12 s ago'. All of the page share it.
 */
import { signal } from '@preact/signals';

/** Only what is more than the header's own coarseness is taken for a difference between the clocks. */
const COARSE_MS = 2_000;
let aheadMs = 0;

export const now = signal(Date.now());

export function noteServerTime(date: string | null): void {
  const at = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(at)) return;
  const ahead = at - Date.now();
  aheadMs = Math.abs(ahead) > COARSE_MS ? ahead : 0;
}

export function startClock(): () => void {
  const timer = setInterval(() => {
    if (!document.hidden) now.value = Date.now() + aheadMs;
  }, 1_000);
  return () => clearInterval(timer);
}
