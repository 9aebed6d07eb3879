/**
 * The databases that this dashboard sees, and which of them is looked at.
 */
import { computed } from '@preact/signals';
import { sessionState } from './api.ts';
import { here } from './router.ts';

const databases = computed(() => {
  const current = sessionState.value;
  return current.state === 'in' ? current.session.databases : [];
});

/** In their order. */
export const databaseNames = computed(() => databases.value.map(({ name }) => name));

export const hasSeveral = computed(() => databases.value.length > 1);

/** All of them are looked at together. */
export const atAll = computed(() => hasSeveral.value && here.value === null);

/** Of the tables that are looked at; null: of several. */
export const schemaNow = computed(() => {
  const found = hasSeveral.value ? databases.value.find(({ name }) => name === here.value) : databases.value[0];
  return found?.schema ?? null;
});

/** What looks at all databases by itself, and sees more that way. */
const OVER_ALL = /^holdfast (?:outbox path|find) /;

/** A command as it must be given where there are several: with the one that is looked at. */
export function commandHere(command: string): string {
  const name = here.value;
  if (!hasSeveral.value || name === null || !command.startsWith('holdfast ')) return command;
  if (OVER_ALL.test(command) || / --database /.test(command)) return command;
  return `${command} --database ${name}`;
}
