/**
 * What a view reads from the server: asked for when the address changes, and again from time to time while it is live. What is shown
 * stays until the new answer is there, so that nothing flickers.
 *
 * Pages that are live ask again at the same moments, by the server's clock: so the server reads once for all that show the same.
 */
import { useEffect, useState } from 'preact/hooks';
import { failureFrom, read, urlOfApi, type RequestFailure } from './api.ts';
import { heardAt, liveState, paused, serverTime } from './live.ts';
import type { QueryValues } from './router.ts';

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
  /** Again after about so many milliseconds; null: only when asked. */
  readonly every?: number | null;
}

/** A server that takes long reads half a minute apart. After that nothing more is expected, and the view asks by itself. */
const SILENT_MS = 40_000;

/** `path`: null for nothing. */
export function useLoaded<T>(
  path: string | null,
  query: QueryValues = {},
  { every = null }: LoadOptions = {},
): Loaded<T> {
  const url = path === null ? null : urlOfApi(path, query);
  const key = url?.href ?? '';
  const [kept, keep] = useState<Kept<T>>({ key, data: undefined, failure: undefined });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (url === null) return;
    const gone = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let asking = false;
    const ask = async (): Promise<void> => {
      clearTimeout(timer);
      asking = true;
      try {
        const data = await read<T>(url, gone.signal);
        if (!gone.signal.aborted) keep({ key, data, failure: undefined });
      } catch (error) {
        if (gone.signal.aborted) return;
        keep((before) => ({ key, data: before.key === key ? before.data : undefined, failure: failureFrom(error) }));
      }
      asking = false;
      if (every !== null && !gone.signal.aborted) timer = setTimeout(again, every);
    };
    // For a page that hears nothing.
    const again = (): void => {
      const hears = liveState.peek() === 'live' && Date.now() - (heardAt.peek() ?? 0) < SILENT_MS;
      if (paused.peek() || document.hidden || hears) timer = setTimeout(again, every ?? 0);
      else void ask();
    };
    void ask();
    const stop = every === null ? null : onTurn(every, () => !asking && !document.hidden && void ask());
    return () => {
      gone.abort();
      clearTimeout(timer);
      stop?.();
    };
    // The key stands for the address.
  }, [key, turn, every]);
  const current = kept.key === key ? kept : { data: undefined, failure: undefined };
  return { data: current.data, failure: current.failure, reload: () => setTurn((before) => before + 1) };
}

/** Calls back with the first overview of each stretch of the server's time, the same for all pages. Answers with what ends it. */
function onTurn(lengthMs: number, act: () => unknown): () => void {
  let turn: number | null = null;
  return serverTime.subscribe((now) => {
    if (now === null) return;
    const present = Math.floor(now / lengthMs);
    const isNext = turn !== null && turn !== present;
    turn = present;
    if (isNext && !paused.peek()) act();
  });
}
