/**
 * What a view reads from the server: asked for when the address changes, and again from time to time while it is live. What is shown
 * stays until the new answer is there, so that nothing flickers.
 */
import { useEffect, useState } from 'preact/hooks';
import { failureFrom, read, type RequestFailure } from './api.ts';
import { paused } from './live.ts';
import { searchOf, type QueryValues } from './router.ts';

export interface Loaded<T> {
  readonly data: T | undefined;
  readonly failure: RequestFailure | undefined;
  /** Asks again now. */
  readonly reload: () => void;
}

interface Kept<T> {
  readonly key: string;
  readonly data: T | undefined;
  readonly failure: RequestFailure | undefined;
}

export interface LoadOptions {
  /** Again after so many milliseconds; null: only when asked. */
  readonly every?: number | null;
}

/** `path`: null for nothing. */
export function useLoaded<T>(
  path: string | null,
  query: QueryValues = {},
  { every = null }: LoadOptions = {},
): Loaded<T> {
  const key = path === null ? '' : `${path}?${searchOf(query)}`;
  const [kept, keep] = useState<Kept<T>>({ key, data: undefined, failure: undefined });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (path === null) return;
    const gone = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async (): Promise<void> => {
      try {
        const data = await read<T>(path, query, gone.signal);
        if (!gone.signal.aborted) keep({ key, data, failure: undefined });
      } catch (error) {
        if (gone.signal.aborted) return;
        keep((before) => ({ key, data: before.key === key ? before.data : undefined, failure: failureFrom(error) }));
      }
      if (every !== null && !gone.signal.aborted) timer = setTimeout(again, every);
    };
    const again = (): void => {
      if (paused.peek() || document.hidden) timer = setTimeout(again, every ?? 0);
      else void ask();
    };
    void ask();
    return () => {
      gone.abort();
      clearTimeout(timer);
    };
    // The key stands for path and query.
  }, [key, turn, every]);
  const current = kept.key === key ? kept : { data: undefined, failure: undefined };
  return { data: current.data, failure: current.failure, reload: () => setTurn((before) => before + 1) };
}
