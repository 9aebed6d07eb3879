/**
 * One answer for all who ask within a while: whoever can reach a page must not be able to keep the database busy with it.
 */

/** Asks at most once in `forMs` milliseconds; those who come meanwhile, or while the question is open, get the same answer. */
export function sharedAnswer<T>(ask: () => Promise<T>, forMs: number, nowMs: () => number): () => Promise<T> {
  let answer: Promise<T> | null = null;
  let until = -Infinity;
  return () => {
    if (answer !== null && nowMs() < until) return answer;
    const asked = ask();
    answer = asked;
    until = Infinity;
    const settled = (): void => {
      if (answer === asked) until = nowMs() + forMs;
    };
    asked.then(settled, settled);
    return asked;
  };
}
