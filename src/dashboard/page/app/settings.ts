/**
 * What a reader has set for this browser: light or dark, how times are shown, single keys as shortcuts.
 */
import { effect, signal, type Signal } from '@preact/signals';

export type Theme = 'auto' | 'light' | 'dark';

export const theme = kept<Theme>('theme', 'auto', ['auto', 'light', 'dark']);
export const times = kept<'ago' | 'exact'>('times', 'ago', ['ago', 'exact']);
/** Single keys can get in the way of speech input, so they can be turned off. */
export const shortcuts = kept<'on' | 'off'>('shortcuts', 'on', ['on', 'off']);

function kept<T extends string>(name: string, usual: T, all: readonly T[]): Signal<T> {
  const key = `holdfast.${name}`;
  const made = signal(usual);
  try {
    const found = localStorage.getItem(key);
    made.value = all.find((each) => each === found) ?? usual;
    effect(() => localStorage.setItem(key, made.value));
  } catch {
    // A browser that keeps nothing: the setting lasts as long as the page.
  }
  return made;
}

/** Sets it on the document, which the style sheet follows. */
export function applyTheme(): () => void {
  return effect(() => {
    if (theme.value === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme.value;
  });
}
