/**
 * Single keys, for those who keep their hands on the keyboard. They can be turned off, and do nothing while somebody types.
 */
import { signal } from '@preact/signals';
import { paused } from './live.ts';
import { hrefTo, navigate } from './router.ts';
import { shortcuts, times } from './settings.ts';

/** After `g`. */
const PLACES: Readonly<Record<string, readonly [path: string, label: string]>> = {
  o: ['', 'Overview'],
  m: ['messages', 'Messages'],
  p: ['parked-groups', 'Parked'],
  r: ['runs', 'Runs'],
  s: ['sagas', 'Sagas'],
  u: ['subscriptions', 'Subscriptions'],
  w: ['workers', 'Workers'],
  l: ['alerts', 'Alerts'],
  j: ['jobs', 'Jobs'],
  a: ['audit', 'Audit'],
  d: ['doctor', 'Doctor'],
};

/** For the help: keys and what they do. */
export const KEY_HELP: readonly (readonly [keys: string, what: string])[] = [
  ['/', 'find an order, a message, a run'],
  ['j k', 'next and previous row of a list'],
  ['Enter', 'open it'],
  ['p', 'pause, and go on'],
  ['t', 'exact times, and back'],
  ['?', 'this help'],
  ...Object.entries(PLACES).map(([key, [, label]]) => [`g ${key}`, label] as const),
];

export const helpOpen = signal(false);

export function listenForKeys(): () => void {
  let leading = false;
  const onKey = (event: KeyboardEvent): void => {
    if (shortcuts.peek() === 'off' || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector('dialog[open]') !== null) return;
    const led = leading;
    leading = false;
    const place = led ? PLACES[event.key] : undefined;
    if (place !== undefined) navigate(hrefTo(place[0]));
    else if (event.key === 'g') leading = true;
    else if (!press(event.key)) return;
    event.preventDefault();
  };
  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}

function press(key: string): boolean {
  switch (key) {
    case '/':
      findField()?.focus();
      findField()?.select();
      return true;
    case 'p':
      paused.value = !paused.peek();
      return true;
    case 't':
      times.value = times.peek() === 'ago' ? 'exact' : 'ago';
      return true;
    case '?':
      helpOpen.value = true;
      return true;
    case 'j':
      return step(1);
    case 'k':
      return step(-1);
    default:
      return false;
  }
}

function findField(): HTMLInputElement | null {
  return document.querySelector('#find');
}

function step(by: 1 | -1): boolean {
  const links = [...document.querySelectorAll<HTMLElement>('main a.row-link')];
  const at = links.findIndex((link) => link === document.activeElement);
  const next = at < 0 ? (by === 1 ? 0 : links.length - 1) : at + by;
  links[next]?.focus();
  return links.length > 0;
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('input, textarea, select, [contenteditable]') !== null;
}
