/**
 * Numbers, times and texts as people read them. Pure.
 */
import { visible } from '../../runtime/terminal-text.ts';

/** '0 ms', '12 s', '3m 12s', '2h 5m', '4d 3h': two units at most. */
export function formatMs(ms: number): string {
  if (ms < 1) return '0 ms';
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
    ['s', 1],
  ] as const;
  const first = units.findIndex(([, size]) => seconds >= size);
  return units
    .slice(first, first + 2)
    .map(
      ([name, size], index) =>
        [name, Math.floor((index === 0 ? seconds : seconds % (units[first]?.[1] ?? 1)) / size)] as const,
    )
    .filter(([, count], index) => index === 0 || count > 0)
    .map(([name, count]) => `${count}${name}`)
    .join(' ');
}

/** '1,234,567'. */
export function formatCount(count: number): string {
  return Math.round(count)
    .toString()
    .replaceAll(/\B(?=(\d{3})+$)/g, ',');
}

/** '0', '0.4/s', '12/s', '1,204/s'. */
export function formatRate(perSecond: number): string {
  if (perSecond === 0) return '0/s';
  return `${perSecond < 9.95 ? perSecond.toFixed(1) : formatCount(perSecond)}/s`;
}

export function formatBytes(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB'];
  let value = bytes / 1_024;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** '1 message', '2 messages'. */
export function plural(count: number, singular: string, many = `${singular}s`): string {
  return `${formatCount(count)} ${count === 1 ? singular : many}`;
}

/** UTC, to the second: '2026-01-02 03:04:05Z'. */
export function formatTime(time: Date): string {
  return `${time.toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

/** On one line, with what cannot be seen made visible; at most `width` columns, with an ellipsis. */
export function oneLine(text: string, width = Infinity): string {
  const line = visible(text.replaceAll(/\s+/g, ' ').trim());
  return line.length > width ? `${line.slice(0, Math.max(0, width - 1))}…` : line;
}
