/**
 * Numbers, times and texts as the page shows them. Pure.
 */
import { messageOfError } from '../../../message/encrypted-value.ts';

const WHOLE = new Intl.NumberFormat('en');
const TENTHS = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

/** '1,234,567'. */
export function countText(count: number): string {
  return WHOLE.format(Math.round(count));
}

/** '0/s', '0.4/s', '1,204/s'. */
export function rateText(perSecond: number): string {
  return `${perSecond < 9.95 ? TENTHS.format(perSecond) : countText(perSecond)}/s`;
}

/** '812 B', '3.4 KiB'. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${value < 10 ? TENTHS.format(value) : countText(value)} ${units[unit] ?? ''}`;
}

const SIZES = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
] as const;

/** '0 ms', '1.2 s', '3m 12s', '4d 3h': two units at most. */
export function spanText(ms: number): string {
  if (ms < 999.5) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 9_950) return `${TENTHS.format(ms / 1_000)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const first = SIZES.findIndex(([, size]) => seconds >= size);
  const [unit, size] = SIZES[first] ?? ['s', 1];
  const [smaller, small] = SIZES[first + 1] ?? ['', 1];
  const rest = smaller === '' ? 0 : Math.floor((seconds % size) / small);
  return `${Math.floor(seconds / size)}${unit}${rest === 0 ? '' : ` ${rest}${smaller}`}`;
}

/** 'now', '12 s ago', 'in 3m 12s'. Below ten seconds only whole ones: a figure that flickers tells nothing. */
export function agoText(at: number, now: number): string {
  const away = Math.abs(now - at);
  if (away < 1_000) return 'now';
  const span = away < 60_000 ? `${Math.floor(away / 1_000)} s` : spanText(away);
  return at <= now ? `${span} ago` : `in ${span}`;
}

/** '2026-01-02 03:04:05.678', in the reader's time zone. */
export function exactTime(at: number): string {
  const time = new Date(at);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const ms = String(time.getMilliseconds()).padStart(3, '0');
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}

/** '03:04:05' of today, '2026-01-02 03:04:05' of another day, in the reader's time zone. */
export function clockText(at: number, now: number): string {
  const text = exactTime(at).slice(0, 19);
  return text.slice(0, 10) === exactTime(now).slice(0, 10) ? text.slice(11) : text;
}

/** '1 message', '2 messages'. */
export function several(count: number, one: string, many = `${one}s`): string {
  return `${countText(count)} ${count === 1 ? one : many}`;
}

/** The end of an id, by which people tell ids apart: the first half of a version 7 UUID is the time. */
export function shortId(id: string): string {
  return id.length <= 13 ? id : `…${id.slice(-12)}`;
}

/** Of a recorded error: 'HF_STEP_TIMEOUT: …', 'SoldOut: none left'. */
export function faultText(error: { readonly name: string; readonly message: string; readonly code?: unknown }): string {
  const name = typeof error.code === 'string' || typeof error.code === 'number' ? String(error.code) : error.name;
  const message = messageOfError(error).trim();
  if (message === '') return name;
  return name === 'Error' || message.startsWith(name) ? message : `${name}: ${message}`;
}
