/**
 * Limits how often the same background error is reported. An error that comes again with every attempt to connect is reported at once, and
 * then less and less often for as long as it lasts.
 */

/** The same trouble is passed on again after this, then after twice that, and so on. */
const FIRST_GAP_MS = 2_000;
const LONGEST_GAP_MS = 600_000;
/** Different ones that are remembered. */
const MOST = 100;

/** @param nowMs monotonic, in milliseconds */
export function throttleErrors(
  tell: (error: Error) => void,
  nowMs: () => number = () => performance.now(),
): (error: Error) => void {
  const said = new Map<string, { gapMs: number; nextMs: number; lastMs: number }>();
  return (error) => {
    const at = nowMs();
    // Numbers in it (ports, times, ids) make it no other trouble.
    const what = `${error.name} ${error.message.slice(0, 200).replaceAll(/\d+/g, '0')}`;
    const before = said.get(what);
    if (before !== undefined) {
      // Over, when nothing was heard of it for longer than it was kept quiet.
      const over = at - before.lastMs > Math.max(before.gapMs, FIRST_GAP_MS * 5);
      before.lastMs = at;
      if (!over && at < before.nextMs) return;
      before.gapMs = over ? FIRST_GAP_MS : Math.min(LONGEST_GAP_MS, before.gapMs * 2);
      before.nextMs = at + before.gapMs;
    } else {
      if (said.size >= MOST) said.clear();
      said.set(what, { gapMs: FIRST_GAP_MS, nextMs: at + FIRST_GAP_MS, lastMs: at });
    }
    tell(error);
  };
}
